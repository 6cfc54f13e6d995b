package work_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/migrations"
	blobmemory "github.com/hallmarkhub/hallmark/registry/blob/memory"
)

const limit = 20 * time.Second

type hub struct {
	t  *testing.T
	db *db.DB
	*jobservice.Runner
}

// each runs f with a runner on every engine; register says what it can do.
func each(t *testing.T, f func(h *hub)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		if err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		f(&hub{t: t, db: d, Runner: jobservice.New(d, memory.New(), jobservice.Options{Drain: -1,
			Backoff: func(int) time.Duration { return time.Millisecond }})})
	})
}

// run runs a job to its end.
func (h *hub) run(kind string, spec jobservice.Spec, payload any) *jobservice.Status {
	h.t.Helper()
	h.Register(kind, spec)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var id string
	h.write(func(tx *db.Tx) (err error) {
		id, err = h.Enqueue(tx, jobservice.Job{Kind: kind, Payload: payload})
		return err
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		s, err := jobservice.Get(ctx, h.db, id)
		if err != nil {
			h.t.Fatal(err)
		}
		if !s.FinishedAt.IsZero() {
			return s
		}
		if time.Since(began) > limit {
			h.t.Fatalf("the job is still %+v", s)
		}
	}
}

func (h *hub) write(f func(tx *db.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(context.Background(), f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) exec(query string, args ...any) {
	h.t.Helper()
	h.write(func(tx *db.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}

func (h *hub) count(query string, args ...any) (n int64) {
	h.t.Helper()
	if err := h.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestSweepUploads(t *testing.T) {
	each(t, func(h *hub) {
		calls := 0
		s := h.run(work.KindSweepUploads, work.SweepUploads(func(context.Context) (int, error) {
			if calls++; calls == 1 {
				return 2, errors.New("the store does not answer")
			}
			return 3, nil
		}), nil)
		if s.State != jobservice.Done || s.Attempts != 2 || s.Message != "3 removed" {
			h.t.Errorf("got %+v", s)
		}
	})
}

// put stores data, says in its row that it is that of d, and returns its key.
func (h *hub) put(s *blobmemory.Store, data []byte, d digest.Digest, size int) string {
	h.t.Helper()
	w, err := s.Create(h.t.Context(), store.NewID())
	if err != nil {
		h.t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		h.t.Fatal(err)
	}
	key, err := w.Commit(h.t.Context(), d)
	if err != nil {
		h.t.Fatal(err)
	}
	h.exec(`INSERT INTO blob (digest, key, size, created_at, leased_until) VALUES ($1, $2, $3, 0, 0)`, d.String(), key, size)
	return key
}

func TestVerifyBlob(t *testing.T) {
	each(t, func(h *hub) {
		blobs := blobmemory.New(blobmemory.Options{})
		var logged bytes.Buffer
		spec := work.VerifyBlob(h.db, blobs, slog.New(slog.NewTextHandler(&logged, nil)))
		data := bytes.Repeat([]byte("hallmark"), 100_000)
		n := len(data)
		flipped := bytes.Clone(data)
		flipped[n/2] ^= 1

		good, good512 := digest.FromBytes(data), digest.SHA512.FromBytes(data)
		empty, bad, short, missing := digest.FromString(""), digest.FromString("bad"), digest.FromString("short"), digest.FromString("missing")
		h.put(blobs, data, good, n)
		h.put(blobs, data, good512, n)
		h.put(blobs, nil, empty, 0)
		h.put(blobs, flipped, bad, n)
		h.put(blobs, []byte("short"), short, 6)
		if err := blobs.Delete(h.t.Context(), h.put(blobs, data, missing, n)); err != nil {
			h.t.Fatal(err)
		}
		for _, c := range []struct {
			digest string
			state  jobservice.State
			says   string
		}{
			{good.String(), jobservice.Done, ""},
			{good512.String(), jobservice.Done, ""},
			{empty.String(), jobservice.Done, ""},
			{digest.FromString("removed").String(), jobservice.Done, ""},
			{bad.String(), jobservice.Failed, "not those of its digest"},
			{short.String(), jobservice.Failed, "5 bytes"},
			{missing.String(), jobservice.Failed, "missing"},
			{"sha256:x", jobservice.Failed, "not a digest"},
			{"", jobservice.Failed, "not a digest"},
		} {
			s := h.run(work.KindVerifyBlob, spec, work.VerifyBlobPayload{Digest: c.digest})
			if s.State != c.state || !strings.Contains(s.Error, c.says) || (c.says == "") != (s.Error == "") {
				h.t.Errorf("%s: %+v", c.digest, s)
			}
			if damaged := h.count(`SELECT count(*) FROM audit WHERE action = 'blob.corrupt' AND object = $1`, c.digest); (damaged == 1) !=
				(c.state == jobservice.Failed && strings.Contains(c.digest, ":") && len(c.digest) > 20) {
				h.t.Errorf("%s: %d entries in the audit trail", c.digest, damaged)
			}
		}
		if !strings.Contains(logged.String(), bad.String()) {
			h.t.Error("damage is not in the log")
		}
		s := h.run(work.KindVerifyBlob, spec, struct{ Other string }{"x"})
		if s.State != jobservice.Failed {
			h.t.Errorf("another payload: %+v", s)
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(h *hub) {
		now := h.db.Micros()
		const day = int64(24 * time.Hour / time.Microsecond)
		job := func(id, state string, finished any) {
			h.exec(`INSERT INTO job (id, kind, state, payload, max_attempts, run_at, created_at, finished_at)
				VALUES ($1, 'other', $2, '{}', 8, $3, 0, $4)`, id, state, now+day, finished)
		}
		job("old", "done", now-31*day)
		job("dead", "dead", now-29*day)
		job("waits", "queued", nil)
		h.write(func(tx *db.Tx) (err error) {
			for range 2500 {
				_, e := tx.Exec(`INSERT INTO job (id, kind, state, payload, max_attempts, run_at, created_at, finished_at)
					VALUES ($1, 'other', 'done', '{}', 8, 0, 0, 0)`, store.NewID())
				err = errors.Join(err, e)
			}
			return err
		})
		audit := func(id string, at int64) {
			h.exec(`INSERT INTO audit (id, at, actor, actor_name, credential, ip, request_id, action, object)
				VALUES ($1, $2, '', '', '', '', '', 'x', '')`, id, at)
		}
		audit("00000000-0000-7000-8000-000000000001", now-366*day)
		audit("00000000-0000-7000-8000-000000000002", now-366*day)
		audit(store.NewID(), now-364*day)
		h.exec(`INSERT INTO account (id, username, password_hash, created_at, updated_at) VALUES ('a', 'a', '', 0, 0)`)
		for id, expires := range map[string]int64{"over": now - 1, "open": now + day} {
			h.exec(`INSERT INTO session (id, token_hash, account_id, created_at, last_used_at, verified_at, expires_at, ip, user_agent)
				VALUES ($1, $1, 'a', 0, $2, 0, $3, '', '')`, id, now, expires)
		}
		for key, at := range map[string]int64{"over": now - 2*day, "open": now} {
			h.exec(`INSERT INTO idempotency (actor, key, request_hash, status, created_at) VALUES ('a', $1, '', 200, $2)`, key, at)
			h.exec(`INSERT INTO login_failure (subject, failures, first_at, last_at, blocked_until) VALUES ($1, 1, 0, $2, 0)`, key, at-30*day*(now-at)/day)
		}
		spec := work.Purge(store.New(h.db), work.PurgeOptions{})
		for range 2 { // again removes nothing more
			s := h.run(work.KindPurge, spec, nil)
			if s.State != jobservice.Done {
				h.t.Fatalf("got %+v", s)
			}
			if n := h.count(`SELECT count(*) FROM job WHERE kind = 'other'`); n != 2 {
				h.t.Errorf("%d jobs left", n)
			}
			for _, table := range []string{"session", "idempotency", "login_failure"} {
				if n := h.count(`SELECT count(*) FROM ` + table); n != 1 {
					h.t.Errorf("%d rows left in %s", n, table)
				}
			}
			if n := h.count(`SELECT count(*) FROM audit WHERE action = 'x'`); n != 1 {
				h.t.Errorf("%d entries left in the audit trail", n)
			}
			if n := h.count(`SELECT count(*) FROM audit WHERE action = 'audit.purge' AND detail = '{"entries":2}'`); n != 1 {
				h.t.Errorf("%d entries about the purge", n)
			}
		}
	})
}
