package jobservice_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

func TestRetry(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		var fail atomic.Bool
		fail.Store(true)
		h.Register("x", jobservice.Spec{MaxAttempts: 2, Run: func(context.Context, *jobservice.Task) error {
			if fail.Load() {
				return errMine
			}
			return nil
		}})
		h.start()
		id := h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "k"})
		h.untilState(id, jobservice.Dead)
		fail.Store(false)
		s, err := h.Retry(asOperator(t), id)
		if err != nil || s.Attempts != 0 || s.Error != "" || s.State != jobservice.Queued {
			t.Fatalf("%+v, %v", s, err)
		}
		if s := h.untilState(id, jobservice.Done); s.Attempts != 1 {
			t.Errorf("%d attempts", s.Attempts)
		}
		if _, err := h.Retry(asOperator(t), id); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("a job that is done: %v", err)
		}
		if _, err := h.Cancel(asOperator(t), id); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("a job that is done: %v", err)
		}
	})
}

// A dead job is not queued beside another one with the same key.
func TestRetryUnique(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		id := h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "k"})
		if _, err := h.Cancel(asOperator(t), id); err != nil {
			t.Fatal(err)
		}
		h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "k"})
		if _, err := h.Retry(asOperator(t), id); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("got %v", err)
		}
	})
}

func TestNotFound(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		_, err := jobservice.Get(t.Context(), d, "none")
		_, err2 := h.Cancel(asOperator(t), "none")
		_, err3 := h.Retry(asOperator(t), "none")
		for _, err := range []error{err, err2, err3} {
			if core.CodeOf(err) != core.CodeNotFound {
				t.Errorf("got %v", err)
			}
		}
	})
}

// What people do to jobs is in the audit trail, in the same transaction.
func TestAudit(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		ctx := core.WithPrincipal(t.Context(), &core.Principal{Kind: core.KindUser, ID: "1", Name: "alice"})
		id := h.enqueue(jobservice.Job{Kind: "x"})
		for range 2 {
			if _, err := h.Cancel(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Retry(ctx, id); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := d.Query(ctx, `SELECT actor, action, object FROM audit ORDER BY id`, nil, func(scan func(...any) error) error {
			var actor, action, object string
			err := scan(&actor, &action, &object)
			got = append(got, actor+" "+action+" "+object)
			return err
		})
		want := []string{"user:1 job.cancel x " + id, "user:1 job.retry x " + id}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		var all []string
		for i := range 25 {
			id := h.enqueue(jobservice.Job{Kind: []string{"a", "b"}[i%2], Project: []string{"", "p", "q"}[i%3], Target: []string{"", "t"}[i%2]})
			if i%5 == 0 {
				if _, err := h.Cancel(asOperator(t), id); err != nil {
					t.Fatal(err)
				}
			}
			all = append([]string{id}, all...)
		}
		list := func(q jobservice.Query) (ids []string) {
			t.Helper()
			for {
				page, more, err := jobservice.List(t.Context(), d, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range page {
					if q.Kind != "" && s.Kind != q.Kind || q.State != "" && s.State != q.State ||
						q.Target != "" && s.Target != q.Target {
						t.Errorf("%+v is not what was asked for", s)
					}
					ids = append(ids, s.ID)
				}
				if !more {
					return ids
				}
				if len(page) != q.N {
					t.Errorf("a page of %d, asked for %d", len(page), q.N)
				}
				q.After = ids[len(ids)-1]
			}
		}
		if got := list(jobservice.Query{N: 7}); !slices.Equal(got, all) {
			t.Errorf("all: %v, want %v", got, all)
		}
		for _, c := range []struct {
			q    jobservice.Query
			want int
		}{
			{jobservice.Query{N: 25}, 25}, {jobservice.Query{N: 5}, 25}, {jobservice.Query{}, 25},
			{jobservice.Query{State: jobservice.Cancelled, N: 2}, 5},
			{jobservice.Query{Kind: "b", N: 5}, 12},
			{jobservice.Query{Kind: "b", State: jobservice.Cancelled, N: 1}, 2},
			{jobservice.Query{Project: "p", N: 3}, 8},
			{jobservice.Query{Target: "t", N: 3}, 12},
			{jobservice.Query{Project: "q", Kind: "b", State: jobservice.Queued, Target: "t"}, 3},
			{jobservice.Query{Kind: "c"}, 0},
		} {
			if got := list(c.q); len(got) != c.want {
				t.Errorf("%+v: %d, want %d", c.q, len(got), c.want)
			}
		}
	})
}

// A page has as many as one of the API may have, and not one more.
func TestListLimit(t *testing.T) {
	d := migrated(t, dbtest.SQLite(t))
	h := newHub(t, d, quick())
	for range 201 {
		h.enqueue(jobservice.Job{Kind: "x"})
	}
	for n, want := range map[int]int{0: 200, 199: 199, 200: 200, 201: 200} {
		page, more, err := jobservice.List(t.Context(), d, jobservice.Query{N: n})
		if err != nil || len(page) != want || !more {
			t.Errorf("%d asked for: %d, more %v, %v", n, len(page), more, err)
		}
	}
}
