package attack

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wantsTests is a policy that what a gated project has so far does not satisfy.
const wantsTests = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: tested, project: %s}
spec:
  mode: enforce
  authorities: [{name: release, key: {ref: release}}]
  attestations: [{name: tests, predicateTypes: ["https://example.com/tests"], require: {allOf: [release]}}]
`

// pulling asks for an image without pause, by each of its ways, from as many clients.
type pulling struct {
	barred  atomic.Int64 // time, in ns since it began: what is asked for later must be refused; 0: nothing need be
	late    atomic.Int64 // asked for after that
	asked   atomic.Int64
	refused atomic.Int64
	began   time.Time
	over    chan struct{}
	all     sync.WaitGroup
}

// pulling goes on until the test ends.
func (h *hub) pulling(t *testing.T, p who, paths map[string]string, clients int) *pulling {
	t.Helper()
	x := &pulling{began: time.Now(), over: make(chan struct{})}
	t.Cleanup(func() {
		close(x.over)
		x.all.Wait()
		t.Logf("%d pulls, %d refused, %d of them after a change was in force", x.asked.Load(), x.refused.Load(), x.late.Load())
	})
	for range clients {
		for what, path := range paths {
			x.all.Go(func() {
				for {
					select {
					case <-x.over:
						return
					default:
					}
					barred := time.Duration(x.barred.Load())
					at := time.Since(x.began)
					a, err := h.try(p, "GET", path, nil)
					if err != nil || a.status != 200 && a.status != 403 {
						t.Errorf("%s: %v %v", what, a, err)
						return
					}
					x.asked.Add(1)
					if a.status == 403 {
						x.refused.Add(1)
					}
					if barred != 0 && at > barred && time.Duration(x.barred.Load()) == barred { // it was not lifted meanwhile
						x.late.Add(1)
						if a.status != 403 {
							t.Errorf("%s, asked for %s after what bars it was in force: %s", what, at-barred, a)
							return
						}
					}
				}
			})
		}
	}
	return x
}

// bars makes a change after which everything has to be refused, a second later, and waits until it was asked for often.
func (x *pulling) bars(t *testing.T, what string, change func()) {
	t.Helper()
	change()
	late := x.late.Load()
	x.barred.Store(int64(time.Since(x.began) + time.Second))
	eventually(t, "pulls after "+what, 30*time.Second, func() error {
		if n := x.late.Load() - late; n < 200 && !t.Failed() {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
}

// lets takes it back, and waits until it is in force.
func (x *pulling) lets(t *testing.T, what string, change func(), pull func() int) {
	t.Helper()
	x.barred.Store(0)
	change()
	eventually(t, "pulls once "+what, 10*time.Second, func() error {
		if got := pull(); got != 200 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}

// TestV43OtherProcess: no pull that another process admits began more than a second after a key, a signature, a policy or
// the baseline was changed, however many pull meanwhile.
func TestV43OtherProcess(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		two := h // SQLite has one process
		if h.database == "postgres" {
			two = h.beside(t)
		}
		g := h.gated(t)
		im := g.pushImage(t, g.admin(), g.repo, "v1", makeImage(nil))
		bundle := g.key.Bundle(im.digest, predicateSign, map[string]any{})
		signature := g.attach(t, g.admin(), g.repo, im.digest, bundle)
		send := func(method, path string, body any) func() {
			return func() {
				t.Helper()
				h.do(t, h.admin(), method, path, body, headers{"If-Match": "*"}).want(t, method+" "+path, 200, 201, 202, 204)
			}
		}
		project := "/api/v1/projects/" + g.project
		status := func() int { return two.do(t, g.guest, "GET", manifestPath(g.repo, "v1"), nil).status }
		x := two.pulling(t, g.guest, g.routes("v1", im), 2)
		x.lets(t, "it is signed", func() {}, status)
		x.bars(t, "the signature was deleted", send("DELETE", manifestPath(g.repo, signature.String()), nil))
		x.lets(t, "it is signed again", func() { g.attach(t, g.admin(), g.repo, im.digest, bundle) }, status)
		x.bars(t, "a policy was saved", send("PUT", project+"/policies/tested", map[string]string{"document": fmt.Sprintf(wantsTests, g.project)}))
		x.lets(t, "the policy is deleted", send("DELETE", project+"/policies/tested", nil), status)
		x.bars(t, "the key was deleted", send("DELETE", project+"/authorities/release", nil))
		x.lets(t, "the baseline is off", send("PATCH", project, map[string]any{"baseline": "off"}), status)
		x.bars(t, "the baseline was restored", send("PATCH", project, map[string]any{"baseline": "enforce"}))
		x.lets(t, "the key is back", send("PUT", project+"/authorities/release", map[string]any{"public_key": g.key.PEM}), status)
		x.bars(t, "the key was revoked", send("POST", project+"/authorities/release/revoke", nil))
	})
}
