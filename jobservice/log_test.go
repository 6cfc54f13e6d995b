package jobservice_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice"
)

func logOf(t *testing.T, d *db.DB, id string) (all []jobservice.Line) {
	t.Helper()
	for after := int64(0); ; {
		page, more, err := jobservice.Log(context.Background(), d, id, after, 300)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); !more {
			return all
		}
		after = page[len(page)-1].Seq
	}
}

// A log has the lines of all tries in order, also while the job runs, and none of a try that lost the job.
func TestLog(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		end := make(chan struct{})
		h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
			task.Log("try %d\x1b[1m", task.Attempt())
			if task.Attempt() == 1 {
				return errMine
			}
			<-end
			task.Log("last")
			return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, "x") })
		}})
		h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		h.until(id, func(*jobservice.Status) bool { return len(logOf(t, d, id)) == 2 })
		close(end)
		h.untilState(id, jobservice.Done)
		var got []string
		for i, l := range logOf(t, d, id) {
			if l.Seq != int64(i+1) || l.At.IsZero() {
				t.Errorf("%+v", l)
			}
			got = append(got, fmt.Sprint(l.Attempt, " ", l.Text))
		}
		if want := "1 try 1 [1m|2 try 2 [1m|2 last"; strings.Join(got, "|") != want {
			t.Errorf("%q", got)
		}
	})
}

// As many lines and bytes as may be are kept, and instead of one more the word that there are more.
func TestLogLimits(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		type payload struct{ Lines, Bytes int }
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			var p payload
			if err := task.Decode(&p); err != nil {
				return err
			}
			for range p.Lines {
				task.Log("%s", strings.Repeat("x", p.Bytes))
			}
			if task.Attempt() == 1 && p.Lines == 300 {
				return errMine // what the first try has written counts
			}
			return nil
		}})
		h.start()
		const full = "the log of this job is full; what follows is left out"
		for name, c := range map[string]struct {
			payload
			lines int
			full  bool
		}{
			"lines at the limit":     {payload{jobservice.LogLines - 1, 1}, jobservice.LogLines - 1, false},
			"lines past the limit":   {payload{jobservice.LogLines, 1}, jobservice.LogLines, true},
			"lines far beyond":       {payload{5 * jobservice.LogLines, 1}, jobservice.LogLines, true},
			"bytes at the limit":     {payload{255, 1024}, 255, false},
			"bytes past the limit":   {payload{256, 1024}, 256, true},
			"bytes of several tries": {payload{300, 512}, 512, true},
		} {
			id := h.enqueue(jobservice.Job{Kind: "x", Payload: c.payload})
			h.untilState(id, jobservice.Done)
			got := logOf(t, d, id)
			bytes := 0
			for _, l := range got {
				bytes += len(l.Text)
			}
			if len(got) != c.lines || (got[len(got)-1].Text == full) != c.full || bytes > jobservice.LogBytes {
				t.Errorf("%s: %d lines with %d bytes, the last is %.60q", name, len(got), bytes, got[len(got)-1].Text)
			}
		}
	})
}

// A long line is clipped as everything is that people read.
func TestLogLine(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			task.Log("%s", strings.Repeat("x", 1024))
			task.Log("%s", strings.Repeat("x", 1025))
			return nil
		}})
		h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		h.untilState(id, jobservice.Done)
		got := logOf(t, d, id)
		if len(got) != 2 || len(got[0].Text) != 1024 || !strings.HasSuffix(got[1].Text, "x..") {
			t.Errorf("got %d lines of %d and %d bytes", len(got), len(got[0].Text), len(got[1].Text))
		}
	})
}

// What can be counted has a share; a total that is not known has none.
func TestCount(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		next := make(chan struct{})
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			for _, c := range [][2]int64{{3, 0}, {50, 200}, {900, 200}, {1 << 62, 1 << 62}} {
				task.Count(c[0], c[1], "blobs")
				<-next
			}
			return nil
		}})
		h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		for _, want := range []struct {
			progress    int
			done, total int64
		}{{0, 3, 0}, {25, 50, 200}, {100, 200, 200}, {100, 1 << 62, 1 << 62}} {
			h.until(id, func(s *jobservice.Status) bool {
				return s.Progress == want.progress && s.Done == want.done && s.Total == want.total && s.Message == "blobs"
			})
			next <- struct{}{}
		}
		if s := h.untilState(id, jobservice.Done); s.Done != 1<<62 || s.Progress != 100 {
			t.Errorf("got %+v", s)
		}
	})
}
