package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

type hub struct {
	*testing.T
	db    *db.DB
	store *store.Store
	reads *GateReads
	team  *core.Project
	alice context.Context
	at    time.Time // it stands still between minutes
}

func eachHub(t *testing.T, f func(h *hub)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		if err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		h := &hub{T: t, db: d, store: store.New(d), alice: as(t.Context(), "alice")}
		h.reads, h.at = NewGateReads(h.store, slog.New(slog.DiscardHandler)), h.store.Now()
		h.reads.now = func() time.Time { return h.at }
		p, err := h.store.CreateProject(core.WithPrincipal(t.Context(), core.System()), store.NewProject{Name: "team", Visibility: core.Public})
		if err != nil {
			t.Fatal(err)
		}
		h.team = p
		f(h)
	})
}

func as(ctx context.Context, name string) context.Context {
	ctx = core.WithOrigin(ctx, core.Origin{IP: "192.0.2.1", RequestID: "r-" + name})
	return core.WithPrincipal(ctx, &core.Principal{Kind: core.KindUser, ID: "id-" + name, Name: name, Credential: "password"})
}

func refused(n int) store.GateRead {
	return store.GateRead{Action: store.PullRefused, Repository: "team/app", Digest: fmt.Sprintf("sha256:%064d", n), Reason: "baseline: NO_KEY"}
}

// trail is what stands in the audit trail, the oldest first, and the sum of what it counts.
func (h *hub) trail() (entries []store.AuditEntry, sum int64) {
	h.Helper()
	for before, more := "", true; more; {
		var page []store.AuditEntry
		var err error
		if page, more, err = h.store.AuditEntries(h.Context(), store.AuditQuery{Action: "pull.*", Before: before, N: 1000}); err != nil {
			h.Fatal(err)
		}
		for _, e := range page {
			entries = append([]store.AuditEntry{e}, entries...)
			sum += h.detail(e).Count
			before = e.ID
		}
	}
	return entries, sum
}

type said struct {
	Digest, Reason string
	Count          int64
	From, To       time.Time
	Merged         bool
}

func (h *hub) detail(e store.AuditEntry) (d said) {
	h.Helper()
	if err := json.Unmarshal([]byte(e.Detail), &d); err != nil {
		h.Fatal(err)
	}
	return d
}

func (h *hub) nextMinute() { h.at = h.at.Add(time.Minute) }

func TestRefusalsAreMerged(t *testing.T) {
	eachHub(t, func(h *hub) {
		var r db.Recorder
		h.db.Record(&r)
		for range 3 {
			h.reads.Note(h.alice, refused(1))
		}
		h.reads.Note(as(t.Context(), "bob"), refused(1))
		h.db.Record(nil)
		if asked := r.Take(); len(asked) != 0 {
			t.Errorf("noting asks the database: %q", asked)
		}
		h.reads.flush(t.Context(), false)
		entries, sum := h.trail()
		if len(entries) != 2 || sum != 4 {
			t.Fatalf("%d rows of %d reads", len(entries), sum)
		}
		for _, e := range entries {
			want := map[string]int64{"alice": 3, "bob": 1}[e.ActorName]
			if d := h.detail(e); d.Count != want || d.Digest != refused(1).Digest || d.Reason != "baseline: NO_KEY" || d.Merged || d.From.IsZero() || d.To.Before(d.From) {
				t.Errorf("%+v", d)
			}
			if e.Action != "pull.refused" || e.ProjectID != h.team.ID || e.Object != "team/app@"+refused(1).Digest || e.Actor != "user:id-"+e.ActorName ||
				e.IP != "192.0.2.1" || e.RequestID != "r-"+e.ActorName || e.Credential != "password" {
				t.Errorf("%+v", e)
			}
		}
		// What is repeated is one more row when the minute is over, and not before.
		h.reads.Note(h.alice, refused(1))
		h.reads.Note(h.alice, refused(1))
		h.reads.flush(t.Context(), false)
		if entries, _ := h.trail(); len(entries) != 2 {
			t.Errorf("%d rows within the minute", len(entries))
		}
		h.nextMinute()
		h.reads.flush(t.Context(), false)
		if entries, sum := h.trail(); len(entries) != 3 || sum != 6 {
			t.Errorf("%d rows of %d reads", len(entries), sum)
		}
		h.nextMinute()
		h.reads.flush(t.Context(), false)
		if len(h.reads.reads) != 0 || len(h.reads.parties) != 0 {
			t.Errorf("what is written and over is held: %v %v", h.reads.reads, h.reads.parties)
		}
	})
}

// Of one party so many are told apart, at the limit and one past it, and nobody's storm hides what others did.
func TestRefusalStorm(t *testing.T) {
	eachHub(t, func(h *hub) {
		for n := range readsOfOne {
			h.reads.Note(h.alice, refused(n))
		}
		h.reads.flush(t.Context(), false)
		if entries, sum := h.trail(); len(entries) != readsOfOne || sum != readsOfOne {
			t.Fatalf("at the limit %d rows of %d reads", len(entries), sum)
		}
		for n := readsOfOne; n < 10_000; n++ {
			h.reads.Note(h.alice, refused(n))
		}
		h.reads.Note(as(t.Context(), "bob"), refused(1))
		h.reads.flush(t.Context(), false)
		entries, sum := h.trail()
		if len(entries) != readsOfOne+2 || sum != 10_001 || len(h.reads.reads) != readsOfOne+2 {
			t.Fatalf("past it %d rows of %d reads, %d held", len(entries), sum, len(h.reads.reads))
		}
		for _, e := range entries[readsOfOne:] {
			if d := h.detail(e); e.ActorName == "alice" && (!d.Merged || d.Count != 10_000-readsOfOne || e.Object != "" || e.ProjectID != "") {
				t.Errorf("%+v %+v", e, d)
			} else if e.ActorName == "bob" && (d.Merged || d.Count != 1 || e.Object == "") {
				t.Errorf("%+v %+v", e, d)
			}
		}
	})
}

func TestRefusalStormOfMany(t *testing.T) {
	eachHub(t, func(h *hub) {
		for n := range readsHeld {
			h.reads.Note(as(t.Context(), fmt.Sprint(n)), refused(n))
		}
		if len(h.reads.reads) != readsHeld {
			t.Fatalf("%d held at the limit", len(h.reads.reads))
		}
		for n := range 10_000 {
			h.reads.Note(as(t.Context(), fmt.Sprint(readsHeld+n)), refused(n))
		}
		if len(h.reads.reads) != readsHeld+1 {
			t.Errorf("%d held past the limit", len(h.reads.reads))
		}
		h.reads.flush(t.Context(), false)
		entries, sum := h.trail()
		if len(entries) != readsHeld+1 || sum != readsHeld+10_000 {
			t.Errorf("%d rows of %d reads", len(entries), sum)
		}
		merged := 0
		for _, e := range entries {
			if d := h.detail(e); d.Merged {
				if merged++; e.Actor != "system" || d.Count != 10_000 || e.IP != "" {
					t.Errorf("%+v %+v", e, d)
				}
			}
		}
		if merged != 1 {
			t.Errorf("%d rows of what is not told apart", merged)
		}
	})
}

// While the database is away nothing is lost and no more is held than the limit; ending writes what is left.
func TestRefusalsOutlastTheDatabase(t *testing.T) {
	eachHub(t, func(h *hub) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range 10_000 {
			h.reads.Note(h.alice, refused(n))
			if n%1000 == 0 {
				h.reads.flush(gone, false)
				h.nextMinute()
			}
		}
		if len(h.reads.reads) > readsHeld {
			t.Errorf("%d held", len(h.reads.reads))
		}
		h.reads.Run(gone)
		if _, sum := h.trail(); sum != 10_000 {
			t.Errorf("%d reads in the trail", sum)
		}
	})
}

func TestNotingFromManySides(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx, cancel := context.WithCancel(t.Context())
		var noted atomic.Int64
		done := make(chan struct{})
		for range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				for n := range 500 {
					h.reads.Note(h.alice, refused(n%50))
					noted.Add(1)
				}
			}()
		}
		for range 4 {
			h.reads.flush(ctx, false)
		}
		for range 4 {
			<-done
		}
		cancel()
		h.reads.Run(ctx)
		if _, sum := h.trail(); sum != noted.Load() {
			t.Errorf("%d reads in the trail of %d", sum, noted.Load())
		}
	})
}
