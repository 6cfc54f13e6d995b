package main

import (
	"context"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// An administrator sees, follows, stops and repeats jobs.
func TestJobCommands(t *testing.T) {
	s := newShell(t)
	s.login()
	enqueue := func(kind string) string {
		t.Helper()
		var id string
		if err := s.hub.db.Write(context.Background(), func(tx *db.Tx) (err error) {
			id, err = s.hub.jobs.Enqueue(tx, jobservice.Job{Kind: kind})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := enqueue("sweep-uploads")
	if out := s.must("", "job", "watch", id); !strings.Contains(out, "done 100% 0 removed") {
		t.Errorf("%s", out)
	}
	if out := s.must("", "get", "jobs", "--filter", "kind=sweep-uploads"); !strings.Contains(out, id) {
		t.Errorf("%s", out)
	}
	if out := s.must("", "get", "job", id, "-o", "json"); !strings.Contains(out, `"state": "done"`) {
		t.Errorf("%s", out)
	}
	if out := s.must("", "get", "schedules"); !strings.Contains(out, "30 3 * * *") {
		t.Errorf("%s", out)
	}
	// Nobody runs jobs of this kind.
	id = enqueue("unknown")
	if err := s.hub.db.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO job_log (job_id, seq, at, attempt, line) VALUES ($1, 1, 0, 1, 'hello')`, id)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if out := s.must("", "job", "log", id); !strings.Contains(out, " hello\n") {
		t.Errorf("%q", out)
	}
	s.must("", "job", "cancel", id)
	if _, errs, err := s.run("", "job", "watch", id); err == nil || !strings.Contains(err.Error()+errs, "the job is cancelled") {
		t.Errorf("%v %s", err, errs)
	}
	s.must("", "job", "retry", id)
	if out := s.must("", "get", "job", id); !strings.Contains(out, "queued") {
		t.Errorf("%s", out)
	}
	if _, _, err := s.run("", "job", "watch", "0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10"); err == nil || !strings.Contains(err.Error(), "There is no job") {
		t.Errorf("%v", err)
	}
}
