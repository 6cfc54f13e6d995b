package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// The log of a job comes in pages, and is not to be had for a job that is not there.
func TestJobLog(t *testing.T) {
	h := sqliteHub(t)
	admin, id := h.user("admin", true), h.job("sweep-uploads")
	for i := range 7 {
		h.say(id, int64(i+1), fmt.Sprint("line ", i+1))
	}
	var got []string
	r := h.call(admin, "GET", "/jobs/"+id+"/log?limit=3", "").want(200)
	for {
		var page []JobLine
		r.into(&page)
		for _, l := range page {
			got = append(got, l.Text)
		}
		next := r.next()
		if next == "" {
			break
		}
		r = h.call(admin, "GET", next, "").want(200)
	}
	if want := "line 1,line 2,line 3,line 4,line 5,line 6,line 7"; strings.Join(got, ",") != want {
		t.Errorf("%q", got)
	}
	h.call(admin, "GET", "/jobs/0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10/log", "").wantProblem(404, core.CodeNotFound)
}

// Jobs are found by the project they are for and by whom they talk to.
func TestJobsOfAProject(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("admin", true)
	h.call(admin, "POST", "/projects", `{"name": "team", "visibility": "private"}`).want(201)
	p, err := h.store.ProjectByName(h.ctx, "team")
	if err != nil {
		t.Fatal(err)
	}
	h.job("sweep-uploads")
	if err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := h.jobs.Enqueue(tx, jobservice.Job{Kind: "other", Project: p.ID, Target: "eu"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 2, "?project=team": 1, "?target=eu": 1, "?project=team&target=us": 0} {
		var jobs []Job
		h.call(admin, "GET", "/jobs"+query, "").want(200).into(&jobs)
		if len(jobs) != want || want == 1 && (text(jobs[0].Project) != "team" || text(jobs[0].Target) != "eu") {
			t.Errorf("%s: %+v", query, jobs)
		}
	}
	h.call(admin, "GET", "/jobs?project=none", "").wantProblem(404, core.CodeNotFound)
}

func TestSchedules(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("admin", true)
	h.schedule("a", "@daily")
	h.schedule("b", "30 3 * * *")
	var list []Schedule
	r := h.call(admin, "GET", "/schedules?limit=1", "").want(200).into(&list)
	if len(list) != 1 || list[0].Name != "a" {
		t.Errorf("%s", r.Body)
	}
	h.call(admin, "GET", r.next(), "").want(200).into(&list)
	if len(list) != 1 || list[0].Name != "b" {
		t.Errorf("%+v", list)
	}
	var s Schedule
	h.call(admin, "PATCH", "/schedules/b", `{"spec": "CRON_TZ=Europe/Berlin 0 4 * * 1-5", "paused": true}`).want(200)
	h.call(admin, "GET", "/schedules/b", "").want(200).into(&s)
	if s.Spec != "CRON_TZ=Europe/Berlin 0 4 * * 1-5" || !s.Paused || s.LastJob != nil {
		t.Errorf("%+v", s)
	}
	h.call(admin, "PATCH", "/schedules/b", `{"spec": "* *"}`).wantProblem(400, core.CodeInvalid)
	h.call(admin, "PATCH", "/schedules/none", `{"paused": true}`).wantProblem(404, core.CodeNotFound)
	h.call(admin, "GET", "/schedules/none", "").wantProblem(404, core.CodeNotFound)
}

// follow opens a stream and returns its events, one at a time as name and data.
func (h *hub) follow(srv *httptest.Server, who cred, id, lastEvent string) (status int, next func() (name, data string), end func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/api/v1/jobs/"+id+"/events", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if lastEvent != "" {
		r.Header.Set("Last-Event-ID", lastEvent)
	}
	who(r)
	res, err := srv.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	return res.StatusCode, func() (name, data string) {
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return name, v
			}
		}
		return "", ""
	}, func() { cancel(); res.Body.Close() }
}

// A stream has the job, the log and the end; who comes again goes on behind the line that was read last.
func TestFollowLog(t *testing.T) {
	h := sqliteHub(t)
	srv := httptest.NewServer(h.h)
	defer srv.Close()
	admin, id := h.user("admin", true), h.job("sweep-uploads")
	h.say(id, 1, "one")
	h.say(id, 2, "two")
	_, next, end := h.follow(srv, admin, id, "1")
	defer end()
	for i, want := range []struct{ name, data string }{
		{"job", `"state":"queued"`}, {"log", `"seq":2,"text":"two"`}, {"log", `"text":"three"`}, {"job", `"state":"cancelled"`}, {"end", `"state":"cancelled"`}, {"", ""},
	} {
		name, data := next()
		if name != want.name || !strings.Contains(data, want.data) {
			t.Errorf("event %d: %s %s", i, name, data)
		}
		switch i {
		case 1:
			h.say(id, 3, "three")
		case 2:
			h.call(admin, "POST", "/jobs/"+id+"/cancel", "").want(202)
		}
	}
}

// One user has as many streams as may be and not one more, and gets another one when one ends.
func TestStreamLimits(t *testing.T) {
	h := sqliteHub(t)
	srv := httptest.NewServer(h.h)
	defer srv.Close()
	defer srv.CloseClientConnections()
	admin, id := h.user("admin", true), h.job("sweep-uploads")
	var last func()
	for i := range maxStreamsOf {
		status, next, end := h.follow(srv, admin, id, "")
		if status != 200 {
			t.Fatalf("stream %d: %d", i+1, status)
		}
		next()
		last = end
	}
	h.call(admin, "GET", "/jobs/"+id+"/events", "").wantProblem(429, core.CodeTooMany)
	last()
	for status := 429; status == 429; {
		var end func()
		status, _, end = h.follow(srv, admin, id, "")
		end()
	}
	var s streams
	for i := range maxStreams {
		if _, err := s.enter(&core.Principal{Kind: core.KindUser, ID: fmt.Sprint(i)}); err != nil {
			t.Fatalf("stream %d: %v", i+1, err)
		}
	}
	if _, err := s.enter(&core.Principal{Kind: core.KindUser, ID: "one more"}); core.CodeOf(err) != core.CodeTooMany {
		t.Errorf("one more than there may be: %v", err)
	}
}
