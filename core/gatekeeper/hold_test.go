package gatekeeper

import (
	"strings"
	"testing"
	"time"

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
