package attack

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// record keeps what a process writes.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// secrets are texts that may never be seen where people or other programs look.
type secrets struct {
	mu  sync.Mutex
	all map[string]string // secret: what it is
}

func (s *secrets) add(what, secret string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[secret] = what
	return secret
}

// in tells which of the secrets are in a text.
func (s *secrets) in(where, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.all {
		if strings.Contains(text, secret) {
			return fmt.Errorf("%s tells %s", where, what)
		}
	}
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// random is n random bytes as text that may stand in names.
func random(n int) string { return hex.EncodeToString(randomBytes(n)) }

// eventually is the only place that waits for something without an event to wait on.
func eventually(t testing.TB, what string, timeout time.Duration, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > timeout {
			t.Fatalf("waited %s for %s: %v", timeout, what, err)
		}
		<-tick.C
	}
}
