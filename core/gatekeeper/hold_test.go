package gatekeeper

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
)

// What was found behind the hub is believed for a minute and no longer; what lies in the hub until it changes.
func TestHold(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	in := gate.Input{Repository: "front/app", Digest: "sha256:" + strings.Repeat("0", 64), Policies: gate.NewSet(1, gate.Baseline(core.BaselineOff)), Registered: gate.NewRegistered(1, nil, nil, nil)}
	for _, c := range []struct {
		facts facts
		after time.Duration
		want  bool
	}{{&live{}, 0, true}, {&live{}, time.Minute - 1, true}, {&live{}, time.Minute, false}, {rows{}, 1000 * time.Hour, true}} {
		m := &material{facts: c.facts}
		v := decidedAt(in, m, false, now)
		if got := v.holds(m, now.Add(c.after)); got != c.want {
			t.Errorf("%T after %s: %v", c.facts, c.after, got)
		}
		if v.holds(&material{facts: c.facts}, now) {
			t.Errorf("%T: it holds under other keys", c.facts)
		}
	}
}

// What is decided again takes the place of what was decided before; only what is new counts against the limit.
func TestKeep(t *testing.T) {
	admitted := func() *verdict {
		in := gate.Input{Repository: "team/app", Digest: "sha256:" + strings.Repeat("0", 64), Policies: gate.NewSet(1, gate.Baseline(core.BaselineOff)), Registered: gate.NewRegistered(1, nil, nil, nil)}
		return decidedAt(in, &material{facts: rows{}}, false, time.Unix(1_800_000_000, 0))
	}
	var v verdicts
	first, last := admitted(), admitted()
	named := func(n int) digest.Digest { return digest.FromString(strconv.Itoa(n)) }
	for range 3 {
		for n := range verdictsKept {
			v.keep(&v.manifests, named(n), first)
		}
	}
	v.keep(&v.manifests, named(0), last)
	v.keep(&v.manifests, named(verdictsKept), first)
	v.keep(&v.blobs, named(1), &verdict{})
	if got, _ := v.manifests.Load(named(0)); got != last {
		t.Error("what was decided again is not kept")
	}
	if _, ok := v.manifests.Load(named(verdictsKept)); ok || v.kept.Load() != verdictsKept {
		t.Errorf("%d are kept, and one past the limit: %v", v.kept.Load(), ok)
	}
	if _, ok := v.blobs.Load(named(1)); ok {
		t.Error("a refusal is kept")
	}
}
