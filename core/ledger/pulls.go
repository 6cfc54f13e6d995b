package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	// flushInterval is how long a pull may wait to be written: a crash forgets no more than that.
	flushInterval = time.Second
	// pullsHeld bounds what is held while the database is away. Past it pulls are not counted; they are never refused.
	pullsHeld = 100_000
)

// Pulls adds up pulls in memory and writes them down each second, so that a pull itself writes nothing.
type Pulls struct {
	store *store.Store
	log   *slog.Logger

	mu     sync.Mutex
	counts map[pull]int64
}

type pull struct {
	repository, digest, tag string
	kind                    core.PrincipalKind
	id                      string
}

// NewPulls makes a counter. Run has to be called for it to write.
func NewPulls(s *store.Store, log *slog.Logger) *Pulls {
	return &Pulls{store: s, log: log, counts: map[pull]int64{}}
}

// Count counts one pull. It is server.Options.OnPull.
func (p *Pulls) Count(ctx context.Context, repo string, ref registry.Reference, m *registry.Manifest) {
	who := core.PrincipalFrom(ctx)
	if who.Kind == core.KindJob || who.Kind == core.KindSystem {
		return // that the hub has an image scanned, or its scanner reads a database, is no use that somebody made of it
	}
	k := pull{repo, string(m.Digest), ref.Tag, who.Kind, who.ID}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.counts[k]; known || len(p.counts) < pullsHeld {
		p.counts[k]++
	}
}

// Run writes until ctx ends, and once more then.
func (p *Pulls) Run(ctx context.Context) {
	everySecond(ctx, func(ctx context.Context, _ bool) { p.flush(ctx) })
}

// everySecond calls f until ctx ends, and a last time then.
func everySecond(ctx context.Context, f func(ctx context.Context, last bool)) {
	t := time.NewTicker(flushInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			f(last, true)
			return
		case <-t.C:
			f(ctx, false)
		}
	}
}

func (p *Pulls) flush(ctx context.Context) {
	p.mu.Lock()
	counts := p.counts
	if len(counts) == 0 {
		p.mu.Unlock()
		return
	}
	p.counts = make(map[pull]int64, len(counts))
	p.mu.Unlock()
	now := p.store.Now()
	rows := make([]store.Pull, 0, len(counts))
	for k, n := range counts {
		rows = append(rows, store.Pull{Repository: k.repository, Digest: k.digest, Tag: k.tag,
			Principal: (&core.Principal{Kind: k.kind, ID: k.id}).Actor(), Pulls: n, LastAt: now})
	}
	rest, err := p.store.AddPulls(ctx, rows)
	if err == nil {
		return
	}
	p.log.Warn("pulls could not be counted yet", "error", err, "rows", len(rest))
	p.putBack(counts, rest)
}

// putBack keeps what was not written for the next time.
func (p *Pulls) putBack(counts map[pull]int64, rest []store.Pull) {
	left := map[string]bool{}
	for _, r := range rest {
		left[r.Repository+" "+r.Digest+" "+r.Tag+" "+r.Principal] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, n := range counts {
		name := k.repository + " " + k.digest + " " + k.tag + " " + (&core.Principal{Kind: k.kind, ID: k.id}).Actor()
		if left[name] && len(p.counts) < pullsHeld {
			p.counts[k] += n
		}
	}
}
