package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestLimitConnections: one more than there may be is closed, and takes nobody else's place. Loopback is not counted by address.
func TestLimitConnections(t *testing.T) {
	h := startHub(t, "sqlite", []string{"HALLMARK_LIMITS_CONNECTIONS=4", "HALLMARK_LIMITS_CONNECTIONS_PER_IP=1"}, nil)
	client.CloseIdleConnections()
	open := func() net.Conn {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	served := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: "+h.addr+"\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = read(res)
		return err
	}
	var conns []net.Conn
	for i := range 4 {
		// Those that the start has used are only just ending.
		eventually(t, fmt.Sprint("connection ", i+1), 5*time.Second, func() error {
			c := open()
			err := served(c)
			if err == nil {
				conns = append(conns, c)
			}
			return err
		})
	}
	if err := served(open()); err == nil {
		t.Error("a fifth connection is served")
	}
	for i, c := range conns {
		if err := served(c); err != nil {
			t.Errorf("connection %d afterwards: %v", i+1, err)
		}
	}
	conns[0].Close()
	eventually(t, "a place to be free again", 5*time.Second, func() error { return served(open()) })
}

// TestLimitSlowHeaders: who does not say within 5 s what it wants is not waited for.
func TestLimitSlowHeaders(t *testing.T) {
	t.Parallel()
	h := limitHubs.get(t, "sqlite")
	var all sync.WaitGroup
	for _, begin := range []string{"", "GET /v2/ HTTP/1.1\r\n", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "} {
		all.Go(func() {
			began := time.Now()
			if err := h.say(begin, func(r *bufio.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			}); err != nil {
				t.Errorf("%.30q, after %s: %v", begin, time.Since(began), err)
			}
			if took := time.Since(began); took < 4*time.Second || took > 9*time.Second {
				t.Errorf("%.30q was waited for %s", begin, took)
			}
		})
	}
	all.Wait()
}

// TestLimitSlowBodies: a refusal does not wait for a body that nobody is going to read (F-30): else whoever may do nothing
// could hold as many connections as there may be.
func TestLimitSlowBodies(t *testing.T) {
	t.Parallel()
	h := limitHubs.get(t, "sqlite")
	var all sync.WaitGroup
	for _, request := range []string{"POST /v2/a/b/blobs/uploads/", "PUT /v2/a/b/manifests/v1", "PATCH /v2/a/b/blobs/uploads/x", "GET /v2/", "GET /service/token?service=hallmark", "POST /service/token",
		"POST /api/v1/projects", "POST /api/v1/nothing", "POST /nothing", "GET /livez"} {
		all.Go(func() {
			text := fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", request, h.addr)
			if err := h.say(text, func(r *bufio.Reader) error {
				_, err := http.ReadResponse(r, nil)
				return err
			}); err != nil {
				t.Errorf("%s: no answer: %v", request, err)
			}
		})
	}
	all.Wait()
}

// TestV16AnnouncedManifests: who may not push costs nothing, however large the manifest is that he says he is going to send.
func TestV16AnnouncedManifests(t *testing.T) {
	limitHubs.on(t, func(t *testing.T, h *hub) {
		stranger := h.user(t, "stranger")
		h.frugal(t, 32*mib, func() {
			var all sync.WaitGroup
			for i := range 64 {
				p := []who{anonymous(), stranger}[i%2]
				all.Go(func() {
					text := h.rawRequest(p, "PUT", "/v2/announced/app/manifests/v1", "Content-Type: "+typeManifest, fmt.Sprint("Content-Length: ", 4*mib))
					if err := h.say(text, func(r *bufio.Reader) error {
						res, err := http.ReadResponse(r, nil)
						if err == nil && res.StatusCode != 401 && res.StatusCode != 403 {
							err = fmt.Errorf("status %d", res.StatusCode)
						}
						return err
					}); err != nil {
						t.Errorf("%s: %v", p, err)
					}
				})
			}
			all.Wait()
		})
	})
}

// say sends something on a connection of its own and reads what comes back, for 10 s at most.
func (h *hub) say(text string, hear func(*bufio.Reader) error) error {
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	return hear(bufio.NewReader(c))
}
