//go:build crash && linux

package crash

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"
)

// TestF29SecondProcess starts a second hub on the data directory of one that runs. It says in one sentence why it does not
// start, and the first one does not notice.
func TestF29SecondProcess(t *testing.T) {
	h := newHub(t)
	h.start()
	ctx := context.Background()
	c := newClient(h)
	m := newImage("second", newBlob("second layer", 50_000))
	if a := c.putImage(ctx, "library/second", "before", m); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	location, a := c.startUpload(ctx, "library/second")
	if location == "" {
		t.Fatal(a)
	}
	half := newBlob("in two halves", 10_000)
	if a := c.do(ctx, http.MethodPatch, location, half.bytes()[:5000]); a.status != http.StatusAccepted {
		t.Fatal(a)
	}
	for range 3 {
		var said bytes.Buffer
		cmd := h.command(freeAddr(t), freeAddr(t))
		cmd.Stdout, cmd.Stderr = &said, &said
		p, err := launch(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if !poll(ctx, 10*time.Second, p.ended) {
			p.kill()
			t.Fatal("F-29: the second process runs")
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 || bytes.Count(said.Bytes(), []byte("\n")) != 1 ||
			!bytes.Contains(said.Bytes(), []byte("another hallmark")) {
			t.Errorf("F-29: the second process ended with status %d and said: %s", code, said.Bytes())
		}
	}
	if got := h.ready(); got != http.StatusOK {
		t.Errorf("F-29: the first process: /readyz says %d", got)
	}
	if err := c.pull(ctx, "library/second", "before"); err != nil {
		t.Error(err)
	}
	if a := c.finishUpload(ctx, location, half.bytes()[5000:], half.digest); a.status != http.StatusCreated {
		t.Errorf("F-29: the upload that was begun before: %v", a)
	}
	if a := c.putManifest(ctx, "library/second", "after", newArtifact(half)); a.status != http.StatusCreated {
		t.Error(a)
	}
	h.kill() // the lock dies with its process
	h.start()
	for _, tag := range []string{"before", "after"} {
		if err := c.pull(ctx, "library/second", tag); err != nil {
			t.Error(err)
		}
	}
	h.stop()
	h.auditStore(t.Errorf)
}
