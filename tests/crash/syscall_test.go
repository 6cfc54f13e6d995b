//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pointsShort is how many system calls are tried where time counts.
const pointsShort = 40

// TestF01KillAtEachSyscall pushes a blob and a manifest again and again, and the hub dies at the first, the second, the
// third .. system call of that. Whatever it had acknowledged is there afterwards, the rest is there whole or not at
// all, the client can go on, and in the end nothing is left on the disk that belongs to nobody.
func TestF01KillAtEachSyscall(t *testing.T) {
	s := &sweep{}
	var calls []string
	t.Run("none", func(t *testing.T) {
		calls = s.point(t, 0, true)
		t.Logf("a push makes %d calls that count:\n%s", len(calls), summary(calls))
	})
	if len(calls) < 20 || !slices.ContainsFunc(calls, isSync) {
		t.Fatalf("the tracer does not see what a push does: %v", calls)
	}
	killed, points := map[string]int{}, 0
	for _, n := range choose(calls, long(t)) {
		for _, resume := range []bool{true, false} {
			if !resume && page(calls[n-1]) && !long(t) {
				continue // for the upload all pages of the database are alike
			}
			t.Run(fmt.Sprintf("call=%d/resume=%v", n, resume), func(t *testing.T) {
				before := s.point(t, n, resume)
				if points++; len(before) > 0 {
					killed[kind(before[len(before)-1])]++
				}
				if t.Failed() {
					s.failures++
					t.Logf("killed after these calls and before the last of them had done anything:\n  %s", strings.Join(before[max(0, len(before)-12):], "\n  "))
				}
			})
			if s.failures == 3 {
				t.Fatal("that is enough")
			}
		}
	}
	t.Logf("killed %d times, at %v; %d pushes survived", points, killed, s.survived)
	if s.survived > points/4 {
		t.Errorf("%d of %d pushes ended before they were to be killed: the tracer does not kill", s.survived, points)
	}
}

// page says that a call writes one page of the database.
func page(call string) bool { return strings.HasPrefix(call, "pwrite64") }

func isSync(call string) bool {
	return strings.HasPrefix(call, "fsync") || strings.HasPrefix(call, "fdatasync")
}

// kind is a call without what is different each time.
func kind(call string) string {
	name, path, _ := strings.Cut(call, " ")
	switch {
	case strings.HasPrefix(path, "/blobs/uploads"):
		return name + " upload"
	case strings.HasPrefix(path, "/blobs/"), path == "/blobs":
		return name + " blobs"
	case name == "answer":
		return call
	}
	return name + " " + filepath.Base(path)
}

func summary(calls []string) string {
	var b strings.Builder
	for i, c := range calls {
		if i == 0 || kind(c) != kind(calls[i-1]) {
			n := 1
			for i+n < len(calls) && kind(calls[i+n]) == kind(c) {
				n++
			}
			fmt.Fprintf(&b, "  %d x %s\n", n, kind(c))
		}
	}
	return b.String()
}

// choose takes all points, or all that are no mere page of the database and an even choice of the pages.
func choose(calls []string, all bool) []int {
	var points, pages []int
	for i, c := range calls {
		if page(c) && !all {
			pages = append(pages, i+1)
		} else {
			points = append(points, i+1)
		}
	}
	if room := pointsShort - len(points); room > 0 {
		for i := range min(room, len(pages)) {
			points = append(points, pages[i*len(pages)/min(room, len(pages))])
		}
	}
	if !all && len(points) > pointsShort {
		points = points[:pointsShort]
	}
	slices.Sort(points)
	return points
}

// sweep is the series of hubs that die.
type sweep struct {
	*testing.T             // of the present point
	failures, survived int // points, and pushes that ended before their point came
}

// point runs one push on a new hub that is killed at its n-th call, looks at what is left and returns the calls that
// were made. Then the client goes on with its upload, or begins a new one.
func (s *sweep) point(t *testing.T, n int, resume bool) []string {
	t.Helper()
	s.T = t
	h := newHub(t)
	defer h.close()
	x := h.startTraced()
	ctx := context.Background()
	c := newClient(h)
	const repo = "library/sweep"
	if a := c.do(ctx, http.MethodGet, "/v2/", nil); a.status != http.StatusOK { // the password is checked once
		s.Fatalf("GET /v2/: %v", a)
	}
	x.quiet()
	layer := newBlob("sweep", 300_000)
	m := newArtifact(layer) // one blob, and the directories of the store are new
	x.arm(t, n)
	location, started := c.startUpload(ctx, repo)
	var put, tagged answer
	if location != "" {
		put = c.finishUpload(ctx, location, layer.bytes(), layer.digest)
	}
	if put.status == http.StatusCreated {
		tagged = c.putManifest(ctx, repo, "t", m)
	}
	for what, a := range map[string]answer{"POST": started, "PUT blob": put, "PUT manifest": tagged} {
		if a.status >= 300 {
			s.Errorf("%s: %v", what, a)
		}
	}
	if tagged.status == http.StatusCreated && !h.proc.ended() {
		s.survived++
		x.quiet()
	}
	h.kill()
	calls := x.seen()

	h.start()
	c = newClient(h)
	s.blobLeft(ctx, c, repo, layer, put)
	s.manifestLeft(ctx, c, repo, m, tagged)
	if !resume {
		location = ""
	}
	s.goOn(ctx, c, repo, location, layer, m)
	h.stop()
	h.auditStore(s.Errorf)
	h.auditAged(s.Errorf)
	return calls
}

// blobLeft checks the layer after the restart: there if that was said, else there or not, but whole.
func (s *sweep) blobLeft(ctx context.Context, c *client, repo string, b blob, put answer) {
	a := c.getBlob(ctx, repo, b.digest)
	switch {
	case a.status == http.StatusOK && a.is(b.digest):
	case a.status == http.StatusNotFound && put.status != http.StatusCreated:
	default:
		s.Errorf("I1: the blob's PUT said %v, after the restart it is %v", put, a)
	}
}

func (s *sweep) manifestLeft(ctx context.Context, c *client, repo string, m manifest, put answer) {
	for _, ref := range []string{"t", m.digest} {
		a := c.getManifest(ctx, repo, ref)
		switch {
		case a.status == http.StatusOK && a.is(m.digest):
			if err := c.pull(ctx, repo, ref); err != nil {
				s.Errorf("I3: %v", err)
			}
		case a.status == http.StatusNotFound && put.status != http.StatusCreated:
		default:
			s.Errorf("I1: the manifest's PUT said %v, after the restart %s is %v", put, ref, a)
		}
	}
}

// goOn is what a client does that was cut off: it asks for its upload and goes on with that, or begins again if it has no
// location.
func (s *sweep) goOn(ctx context.Context, c *client, repo, location string, b blob, m manifest) {
	if have := c.do(ctx, http.MethodHead, "/v2/"+repo+"/blobs/"+b.digest, nil); have.status != http.StatusOK {
		a := answer{status: http.StatusNotFound}
		if location != "" {
			a = c.do(ctx, http.MethodGet, location, nil)
		}
		switch {
		case a.status == http.StatusNoContent:
			from := offset(a)
			if from > b.size {
				s.Errorf("the upload has %d bytes of %d", from, b.size)
				return
			}
			a = c.finishUpload(ctx, location, b.bytes()[from:], b.digest)
		case a.status == http.StatusNotFound && location != "":
			s.Errorf("the upload is gone, and the blob is not there")
			fallthrough
		default:
			a = c.putBlob(ctx, repo, b)
		}
		if a.status != http.StatusCreated {
			s.Errorf("going on with the upload: %v", a)
			return
		}
	}
	if a := c.putManifest(ctx, repo, "t", m); a.status != http.StatusCreated {
		s.Errorf("pushing the manifest again: %v", a)
		return
	}
	if err := c.pull(ctx, repo, "t"); err != nil {
		s.Errorf("I1: %v", err)
	}
}

// TestF01ResumeAfterKill kills the hub between each two steps of an upload in chunks. The least that can be there is an
// upload without a byte.
func TestF01ResumeAfterKill(t *testing.T) {
	h := newHub(t)
	h.start()
	ctx := context.Background()
	c := newClient(h)
	b := newBlob("resumed", 100_000)
	location, a := c.startUpload(ctx, "library/resume")
	if location == "" {
		t.Fatal(a)
	}
	for at := 0; at < b.size; at += b.size / 4 {
		h.kill()
		h.start()
		if at > 0 { // a client that has not sent anything has nothing to ask
			if a := c.do(ctx, http.MethodGet, location, nil); a.status != http.StatusNoContent || offset(a) != at {
				t.Fatalf("after %d bytes were acknowledged and the hub was killed: %v, %q", at, a, a.header.Get("Range"))
			}
		}
		end := at + b.size/4
		a := c.do(ctx, http.MethodPatch, location, b.bytes()[at:end], header("Content-Range", fmt.Sprintf("%d-%d", at, end-1)))
		if a.status != http.StatusAccepted || offset(a) != end {
			t.Fatalf("bytes %d to %d after kill -9: %v", at, end-1, a)
		}
	}
	h.kill()
	h.start()
	if a := c.finishUpload(ctx, location, nil, b.digest); a.status != http.StatusCreated {
		t.Fatalf("the end of the upload after kill -9: %v", a)
	}
	if a := c.getBlob(ctx, "library/resume", b.digest); !a.is(b.digest) {
		t.Fatal(a)
	}
	h.stop()
	h.auditStore(t.Errorf)
	if _, err := os.Stat(filepath.Join(h.data, "blobs", "uploads", filepath.Base(location))); err == nil {
		t.Error("the upload's file is still there")
	}
}
