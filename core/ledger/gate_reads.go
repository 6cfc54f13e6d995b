package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// readsHeld bounds the rows of a minute, and what is held while the database is away; readsOfOne those of one party, so
	// that a storm of one hides nothing of another. Past them reads are added up in one row for the party, or for all.
	readsHeld  = 1000
	readsOfOne = 200
)

// GateReads gathers what the gate refused or excused, merged by party, repository, digest and reason, so that reading
// writes nothing. The first of a minute is in the audit trail within a second; how often it was repeated is added by one
// more row when the minute is over, since what is in the trail is not changed any more.
type GateReads struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time // the store's; tests let minutes pass

	writing sync.Mutex // one flush at a time
	mu      sync.Mutex
	reads   map[gateRead]*noted
	parties map[party]int // how many of reads are a party's
}

type party struct {
	kind core.PrincipalKind
	id   string
}

type gateRead struct {
	party
	store.GateRead
}

// noted is what of one kind is not written yet.
type noted struct {
	store.GateReads
	minute  int64
	written bool // in this minute
}

// NewGateReads makes one. Run has to be called for it to write.
func NewGateReads(s *store.Store, log *slog.Logger) *GateReads {
	return &GateReads{store: s, log: log, now: s.Now, reads: map[gateRead]*noted{}, parties: map[party]int{}}
}

// Note takes one read down. It is gatekeeper.Options.Note.
func (g *GateReads) Note(ctx context.Context, what store.GateRead) {
	who, now := core.PrincipalFrom(ctx), g.now()
	of := party{who.Kind, who.ID}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.room(of, what)
	n, known := g.reads[k]
	if !known {
		n = &noted{minute: minute(now)}
		g.reads[k] = n
		g.parties[k.party]++
	}
	if n.Count == 0 { // those of now are the first of a row
		by := core.Principal{Kind: who.Kind, ID: who.ID, Name: who.Name, Credential: who.Credential}
		origin := core.OriginFrom(ctx)
		if k.party != of {
			by, origin = *core.System(), core.Origin{}
		}
		n.GateReads = store.GateReads{GateRead: k.GateRead, By: by, Origin: origin, From: now}
		if n.minute != minute(now) {
			n.minute, n.written = minute(now), false
		}
	}
	n.Count++
	n.To = now
}

// room finds the row that a read is counted in: its own, one of its party, or one of all.
func (g *GateReads) room(of party, what store.GateRead) gateRead {
	own := gateRead{of, what}
	further := gateRead{of, store.GateRead{Action: what.Action}}
	for _, k := range []gateRead{own, further} {
		if _, known := g.reads[k]; known || len(g.reads) < readsHeld && (k == further || g.parties[of] < readsOfOne) {
			return k
		}
	}
	return gateRead{party{kind: core.KindSystem}, further.GateRead}
}

func minute(t time.Time) int64 { return t.Unix() / 60 }

// Run writes until ctx ends, and everything then.
func (g *GateReads) Run(ctx context.Context) {
	everySecond(ctx, func(ctx context.Context, last bool) { g.flush(ctx, last) })
}

// flush writes what is due: what is new, and what was repeated in a minute that is over; last writes all.
func (g *GateReads) flush(ctx context.Context, last bool) {
	g.writing.Lock()
	defer g.writing.Unlock()
	now := minute(g.now())
	g.mu.Lock()
	var keys []gateRead
	var rows []store.GateReads
	for k, n := range g.reads {
		switch {
		case n.Count > 0 && (last || !n.written || n.minute != now):
			keys, rows = append(keys, k), append(rows, n.GateReads)
		case n.Count == 0 && n.minute != now:
			delete(g.reads, k)
			if g.parties[k.party]--; g.parties[k.party] == 0 {
				delete(g.parties, k.party)
			}
		}
	}
	g.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	rest, err := g.store.AddGateReads(ctx, rows)
	if err != nil {
		g.log.Warn("refused and excused pulls could not be written to the audit trail yet", "error", err, "rows", len(rest))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range rows[:len(rows)-len(rest)] {
		n := g.reads[keys[i]]
		n.written = true
		if n.Count -= rows[i].Count; n.Count > 0 {
			n.From = n.To // came while the others were written
		}
	}
}
