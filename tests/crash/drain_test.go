//go:build crash && linux

package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// slowly is a body that arrives in pieces, with a pause before each.
type slowly struct {
	data  []byte
	piece int
	every time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	pause(context.Background(), s.every)
	n := copy(p, s.data[:min(s.piece, len(s.data))])
	s.data = s.data[n:]
	return n, nil
}

// TestF27Drain asks the hub to end while a hundred clients are uploading slowly and one is in the middle of pushing a
// manifest. All of them get what they came for, nobody new is let in, and the hub ends well and in time.
func TestF27Drain(t *testing.T) {
	t.Parallel()
	const uploads = 100
	h := newHub(t)
	h.env = append(h.env, "HALLMARK_LIMITS_UPLOADS_PER_PRINCIPAL=1000")
	h.start()
	ctx := context.Background()
	c := newClient(h)
	m := newArtifact(newBlob("drained", 2000))
	if a := c.putImage(ctx, "library/drain", "before", m); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	var all, begun sync.WaitGroup
	answers := make([]answer, uploads)
	blobs := make([]blob, uploads)
	for i := range uploads {
		blobs[i] = newBlob(fmt.Sprint("slow ", i), 40_000)
		begun.Add(1)
		all.Go(func() {
			c := newClient(h)
			location, a := c.startUpload(ctx, "library/drain")
			begun.Done()
			if answers[i] = a; location != "" {
				body := &slowly{data: blobs[i].bytes(), piece: 2000, every: 150 * time.Millisecond} // 3 s
				answers[i] = c.send(ctx, http.MethodPut, location+"?digest="+blobs[i].digest, body,
					func(r *http.Request) { r.ContentLength = int64(blobs[i].size) })
			}
		})
	}
	begun.Wait()
	pushed := halfPush(t, h, m, "during")
	pause(ctx, 500*time.Millisecond)
	began := time.Now()
	if err := syscall.Kill(h.proc.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, 5*time.Second, "nobody new is let in", func() bool { return h.ready() != http.StatusOK })
	if a := pushed(); a != "HTTP/1.1 201 Created" {
		t.Errorf("F-27: the manifest whose push had begun: %q", a)
	}
	all.Wait()
	h.epoch.Add(1)
	h.ends(endTime)
	t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
	if time.Since(began) > 30*time.Second {
		t.Errorf("F-27: it took %v to end", time.Since(began))
	}
	h.start()
	for i, a := range answers {
		if a.status != http.StatusCreated {
			t.Errorf("F-27: upload %d: %v", i, a)
		} else if got := c.getBlob(ctx, "library/drain", blobs[i].digest); !got.is(blobs[i].digest) {
			t.Errorf("I1: upload %d: %v", i, got)
		}
	}
	if err := c.pull(ctx, "library/drain", "during"); err != nil {
		t.Errorf("I1: %v", err)
	}
	h.stop()
	h.auditStore(t.Errorf)
}

// halfPush sends a manifest but for its last bytes. What it returns sends these and reads the first line of the answer.
func halfPush(t *testing.T, h *hub, m manifest, tag string) func() string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", h.addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	req, err := http.NewRequest(http.MethodPut, "http://"+h.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	most := len(m.body) - 5
	fmt.Fprintf(conn, "PUT /v2/library/drain/manifests/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		tag, h.addr, req.Header.Get("Authorization"), m.mediaType, len(m.body), m.body[:most])
	return func() string {
		if _, err := conn.Write(m.body[most:]); err != nil {
			return err.Error()
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return line[:len(line)-2]
	}
}

// TestF27Stalled asks the hub to end while a client has stopped in the middle of an upload: it is not waited for longer
// than it takes to drain, and it can go on with its upload afterwards.
func TestF27Stalled(t *testing.T) {
	t.Parallel() // it waits for half a minute
	h := newHub(t)
	h.start()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := newClient(h)
	b := newBlob("stalled", 100_000)
	location, a := c.startUpload(ctx, "library/drain")
	if location == "" {
		t.Fatal(a)
	}
	r, w := io.Pipe()
	ended := make(chan answer, 1)
	go func() {
		ended <- newClient(h).send(ctx, http.MethodPatch, location, r, func(r *http.Request) { r.ContentLength = int64(b.size) })
	}()
	if _, err := w.Write(b.bytes()[:60_000]); err != nil {
		t.Fatal(err)
	}
	pause(ctx, 300*time.Millisecond)
	began := time.Now()
	if err := syscall.Kill(h.proc.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.epoch.Add(1)
	h.ends(endTime)
	took := time.Since(began)
	t.Logf("ended after %v; the client was told: %v", took.Round(time.Millisecond), func() answer { w.Close(); return <-ended }())
	if took > 33*time.Second {
		t.Errorf("F-27: it took %v to end", took)
	}
	h.start()
	got := c.do(ctx, http.MethodGet, location, nil)
	at := offset(got)
	if got.status != http.StatusNoContent || at > 60_000 {
		t.Fatalf("F-27: the upload that stalled: %v, %d bytes", got, at)
	}
	if a := c.finishUpload(ctx, location, b.bytes()[at:], b.digest); a.status != http.StatusCreated {
		t.Errorf("F-27: going on from %d: %v", at, a)
	}
	if a := c.getBlob(ctx, "library/drain", b.digest); !a.is(b.digest) {
		t.Errorf("I1: %v", a)
	}
	h.stop()
	h.auditStore(t.Errorf)
}
