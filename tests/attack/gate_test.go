package attack

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// TestV40HeadersDecideNothing: whatever else a client sends, what it may read depends on who it is.
func TestV40HeadersDecideNothing(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		good, bad := g.signed(t, "good"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		pusher := h.newMember(t, g.project, "developer")
		seed := mathrand.Uint64()
		r := mathrand.New(mathrand.NewPCG(seed, seed))
		pick := func(list ...string) string { return list[r.IntN(len(list))] }
		agents := []string{"cosign/v3.1.3 (linux; amd64) go-containerregistry/v0.21.7", "notation/1.2.0", "containerd/1.6.20", "Harbor", "trivy/0.74", "kubelet", "hallmark", ""}
		values := map[string]func() string{
			"User-Agent": func() string { return pick(agents...) },
			"Accept": func() string {
				return pick("*/*", typeManifest, typeIndex, typeDocker, typeList, typeBundle, "text/html", "application/json;q=0")
			},
			"Range":                  func() string { return fmt.Sprintf("bytes=%d-%s", r.IntN(4), pick("", "5", "9")) },
			"If-Range":               func() string { return `"` + pick(good.digest.String(), bad.digest.String()) + `"` },
			"If-Modified-Since":      func() string { return "Sat, 21 Nov 2026 13:00:00 GMT" },
			"Accept-Encoding":        func() string { return pick("gzip", "identity", "zstd, br") },
			"X-HTTP-Method-Override": func() string { return pick("PUT", "DELETE", "OPTIONS", "GET") },
			"X-Method-Override":      func() string { return pick("POST", "HEAD") },
			"X-Original-URL":         func() string { return manifestPath(g.repo, "good") },
			"X-Rewrite-URL":          func() string { return manifestPath(g.repo, "good") },
			"X-Forwarded-For":        func() string { return pick("127.0.0.1", "10.0.0.1, 127.0.0.1") },
			"X-Forwarded-User":       func() string { return "admin" },
			"X-Remote-User":          func() string { return "admin" },
			"Forwarded":              func() string { return "for=127.0.0.1;host=localhost;proto=https" },
			"X-Forwarded-Host":       func() string { return "localhost" },
			"Host":                   func() string { return pick("localhost", "hub.example", "127.0.0.1:1") },
			"Origin":                 func() string { return "http://" + h.addr },
			"Referer":                func() string { return "http://" + h.addr + "/" },
			"Cookie":                 func() string { return "session=" + random(16) },
			"Docker-Content-Digest":  func() string { return good.digest.String() },
			"OCI-Subject":            func() string { return good.digest.String() },
			"X-Hallmark-Policy":      func() string { return "off" },
			"X-Scanner":              func() string { return "true" },
			"Content-Type":           func() string { return typeBundle },
			"Cache-Control":          func() string { return pick("no-cache", "only-if-cached", "max-stale") },
			"Via":                    func() string { return "1.1 mirror" },
		}
		names := make([]string, 0, len(values))
		for name := range values {
			names = append(names, name)
		}
		const trials = 300
		for i := range trials {
			sent := headers{}
			for range r.IntN(6) + 1 {
				name := names[r.IntN(len(names))]
				sent[name] = values[name]()
			}
			for range r.IntN(4) {
				if name := headerName(r); !decides[name] {
					sent[name] = headerValue(r, g.admin(), good.digest.String())
				}
			}
			query := pick("", "", "?ns=docker.io", "?ns="+h.addr, "?_method=PUT", "?policy=off&baseline=off", "?"+url.QueryEscape(headerName(r))+"="+url.QueryEscape(headerValue(r, g.admin(), "")))
			method := pick("GET", "HEAD")
			for what, path := range g.routes("bad", bad) {
				a := h.do(t, g.guest, method, path+query, nil, sent)
				if a.status != 403 || method == "GET" && a.code() != "DENIED" {
					t.Fatalf("seed %d, trial %d: %s %s of the refused image with %q: %s", seed, i, method, what+query, sent, a)
				}
			}
			for what, path := range g.routes("good", good) {
				a := h.do(t, g.guest, method, path+query, nil, sent)
				if a.status != 200 && a.status != 206 && a.status != 304 {
					t.Fatalf("seed %d, trial %d: %s %s of the signed image with %q: %s", seed, i, method, what+query, sent, a)
				}
			}
			// The one that decides, with the same others beside it.
			if a := h.do(t, pusher, method, manifestPath(g.repo, "bad")+query, nil, sent); a.status != 200 && a.status != 304 {
				t.Fatalf("seed %d, trial %d: %s of the refused image for who pushes, with %q: %s", seed, i, method, sent, a)
			}
		}
	})
}

// decides are the headers that are left out: the one that says who asks, and those by which HTTP frames a request.
var decides = map[string]bool{"Authorization": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Upgrade": true, "Te": true, "Trailer": true, "Expect": true, "Host": true}

// headerName is any that HTTP allows (RFC 9110, section 5.6.2), some of them of words that somebody might listen to.
func headerName(r *mathrand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~"
	words := []string{"X", "Sec", "Hallmark", "Registry", "Docker", "Proxy", "Auth", "Policy", "Baseline", "Gate", "Bypass", "Skip", "Scanner", "Internal", "User", "Role", "Forwarded", "Original", "Trust", "Cosign"}
	if r.IntN(2) == 0 {
		parts := make([]string, r.IntN(3)+2)
		for i := range parts {
			parts[i] = words[r.IntN(len(words))]
		}
		return http.CanonicalHeaderKey(strings.Join(parts, "-"))
	}
	b := make([]byte, r.IntN(20)+1)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return http.CanonicalHeaderKey(string(b))
}

// headerValue is anything, or something that would decide if it stood elsewhere.
func headerValue(r *mathrand.Rand, admin who, digest string) string {
	meant := []string{"true", "1", "off", "admin", "system", "skip", admin.header, digest, "127.0.0.1", "cosign/v3.1.3", "*"}
	if r.IntN(2) == 0 {
		return meant[r.IntN(len(meant))]
	}
	b := make([]byte, r.IntN(40))
	for i := range b {
		b[i] = byte(r.IntN(0x7f-0x20) + 0x20)
	}
	return strings.TrimSpace(string(b))
}

// TestV42EveryWay: by no method, in no part and under no spelling is anything read of a refused image.
func TestV42EveryWay(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		good, bad := g.signed(t, "good"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		for what, path := range g.routes("bad", bad) {
			for _, method := range []string{"GET", "HEAD"} {
				h.do(t, g.guest, method, path, nil).want(t, method+" "+what, 403)
				for _, part := range []string{"bytes=0-0", "bytes=1-", "bytes=-1", "bytes=0-0,2-3"} {
					h.do(t, g.guest, method, path, nil, headers{"Range": part}).want(t, method+" "+part+" of "+what, 403)
				}
				h.do(t, g.guest, method, path, nil, headers{"If-None-Match": `"` + bad.digest.String() + `"`}).want(t, "whether it has changed", 403)
			}
			if !strings.Contains(path, "/manifests/") && strings.Contains(path, bad.digest.Encoded()) {
				t.Fatal("the routes are mixed up")
			}
			for how, path := range spellings(h, path) {
				a := h.raw(t, "GET", h.rawRequest(g.guest, "GET", path))
				for _, secret := range [][]byte{bad.layer, bad.config, bad.manifest} {
					if bytes.Contains(a.body, secret) {
						t.Errorf("%s with %s (%s): %s", what, how, path, a)
					}
				}
				if a.status == 200 || a.status == 206 {
					t.Errorf("%s with %s (%s): %s", what, how, path, a)
				}
			}
		}
		for what, path := range g.routes("good", good) {
			whole := h.do(t, g.guest, "GET", path, nil).want(t, what, 200)
			head := h.do(t, g.guest, "HEAD", path, nil).want(t, "HEAD of "+what, 200)
			for _, name := range []string{"Content-Type", "Content-Length", "Docker-Content-Digest"} {
				if got, want := head.header.Get(name), whole.header.Get(name); got != want || got == "" {
					t.Errorf("%s: HEAD says %s %q, GET %q", what, name, got, want)
				}
			}
		}
		part := h.do(t, g.guest, "GET", blobPath(g.repo, digestOf(good.layer)), nil, headers{"Range": "bytes=2-5"}).want(t, "a part", 206)
		if !bytes.Equal(part.body, good.layer[2:6]) {
			t.Errorf("the part is %q", part.body)
		}
	})
}

// TestV42MovingTag: a tag that moves between a signed and an unsigned image is one of them, decided on as that one.
func TestV42MovingTag(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		good, bad := g.signed(t, "moving"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		pusher := h.newMember(t, g.project, "developer")
		stop, moved := make(chan struct{}), make(chan error, 1)
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					moved <- nil
					return
				default:
				}
				im := good
				if i%2 == 0 {
					im = bad
				}
				a, err := h.try(pusher, "PUT", manifestPath(g.repo, "moving"), im.manifest, headers{"Content-Type": typeManifest})
				if err == nil && a.status != 201 {
					err = fmt.Errorf("move the tag: %s", a)
				}
				if err != nil {
					moved <- err
					return
				}
			}
		}()
		const pulls, pullers = 10_000, 8
		var refused, next atomic.Int64
		var pulling sync.WaitGroup
		for range pullers {
			pulling.Go(func() {
				for i := next.Add(1); i <= pulls && !t.Failed(); i = next.Add(1) {
					method := []string{"GET", "HEAD"}[i%2]
					switch a, err := h.try(g.guest, method, manifestPath(g.repo, "moving"), nil); {
					case err != nil:
						t.Errorf("pull %d: %v", i, err)
					case a.status == 403:
						refused.Add(1)
						if bytes.Contains(a.body, bad.manifest) {
							t.Errorf("the refusal has the manifest: %s", a)
						}
					case a.status != 200 || a.header.Get("Docker-Content-Digest") != good.digest.String() || method == "GET" && !bytes.Equal(a.body, good.manifest):
						t.Errorf("pull %d: %s of %s", i, a, a.header.Get("Docker-Content-Digest"))
					}
				}
			})
		}
		pulling.Wait()
		close(stop)
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		if n := refused.Load(); n == 0 || n == pulls {
			t.Errorf("%d of %d pulls were refused: the tag did not move", n, pulls)
		}
		t.Logf("%d of %d pulls were refused", refused.Load(), pulls)
	})
}

// TestV42Mount: what may not be read is not had by mounting it where nothing is asked for.
func TestV42Mount(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		good, bad := g.signed(t, "good"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		open := h.ungated(t)
		h.member(t, open, g.guest, "developer")
		mount := func(d digest.Digest, from string) int {
			t.Helper()
			return h.do(t, g.guest, "POST", "/v2/"+open+"/copy/blobs/uploads/?mount="+d.String()+from, nil).status
		}
		from := "&from=" + g.repo
		for what, b := range map[string][]byte{"layer": bad.layer, "config": bad.config} {
			for _, from := range []string{from, ""} {
				if got := mount(digestOf(b), from); got != 202 {
					t.Errorf("the %s of a refused image %q: %d", what, from, got)
				}
			}
			h.do(t, g.guest, "GET", blobPath(open+"/copy", digestOf(b)), nil).want(t, "the "+what+" there", 404)
		}
		if got := mount(digestOf(good.layer), from); got != 201 {
			t.Errorf("the layer of a signed image: %d", got)
		}
	})
}

// TestV40WhoSees: who pushes and who signs reads manifests that are not trusted yet, and no layers; who pulls reads neither.
func TestV40WhoSees(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		im := g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		robot := func(name string, actions ...string) who {
			w := h.robot(t, g.project, grant{"**", actions}).who()
			w.name = name
			return w
		}
		for _, c := range []struct {
			who                       who
			manifest, layer, presence int
		}{
			{h.newMember(t, g.project, "guest"), 403, 403, 403},
			{robot("pull", "pull"), 403, 403, 403},
			{h.newMember(t, g.project, "developer"), 200, 403, 200},
			{h.newMember(t, g.project, "maintainer"), 200, 403, 200},
			{h.newMember(t, g.project, "owner"), 200, 403, 200},
			{robot("push", "pull", "push"), 200, 403, 200},
			{robot("sign", "pull", "sign"), 200, 403, 200},
			{h.admin(), 200, 403, 200},
		} {
			for _, ref := range []string{"bad", im.digest.String()} {
				h.do(t, c.who, "GET", manifestPath(g.repo, ref), nil).want(t, c.who.name+" reads the manifest", c.manifest)
				h.do(t, c.who, "HEAD", manifestPath(g.repo, ref), nil).want(t, c.who.name+" asks for the manifest", c.manifest)
			}
			h.do(t, c.who, "GET", blobPath(g.repo, digestOf(im.layer)), nil).want(t, c.who.name+" reads the layer", c.layer)
			h.do(t, c.who, "HEAD", blobPath(g.repo, digestOf(im.layer)), nil).want(t, c.who.name+" asks for the layer", c.presence)
			// What its token is for makes no difference: cosign asks for one to pull before it signs.
			if c.who.name != "admin" {
				token := bearer(h.token(t, c.who, "repository:"+g.repo+":pull"))
				h.do(t, token, "GET", manifestPath(g.repo, "bad"), nil).want(t, c.who.name+" with a token for pulling", c.manifest)
			}
		}
		// To who may not pull at all, nothing of the gate is told.
		for _, w := range []who{anonymous(), h.user(t, "stranger")} {
			if a := h.do(t, w, "GET", manifestPath(g.repo, "bad"), nil); a.status == 200 || bytes.Contains(a.body, []byte("trust policy")) {
				t.Errorf("%s: %s", w.name, a)
			}
		}
	})
}

// TestV32CopiedLegacySignature: a signature in the old format counts for the digest that was signed, whatever tag it has.
func TestV32CopiedLegacySignature(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		a, b := g.pushImage(t, g.admin(), g.repo, "a", makeImage(nil)), g.pushImage(t, g.admin(), g.repo, "b", makeImage(nil))
		manifest, config, payload := legacySignature(g.key, a.digest, h.addr+"/"+g.repo)
		g.pushBlob(t, g.admin(), g.repo, config)
		g.pushBlob(t, g.admin(), g.repo, payload)
		tag := func(d digest.Digest) string { return "sha256-" + d.Encoded() + ".sig" }
		g.putManifest(t, g.admin(), g.repo, tag(b.digest), typeManifest, manifest).want(t, "push the copy", 201)
		h.do(t, g.guest, "GET", manifestPath(g.repo, "b"), nil).want(t, "the image whose signature it is not", 403)
		g.putManifest(t, g.admin(), g.repo, tag(a.digest), typeManifest, manifest).want(t, "push the signature", 201)
		h.do(t, g.guest, "GET", manifestPath(g.repo, "b"), nil).want(t, "the image whose signature it is not", 403)
		h.do(t, g.guest, "GET", manifestPath(g.repo, "a"), nil).want(t, "the signed image", 200)
		h.do(t, g.guest, "GET", manifestPath(g.repo, tag(a.digest)), nil).want(t, "the signature", 200)
		h.do(t, g.guest, "GET", blobPath(g.repo, digestOf(payload)), nil).want(t, "its payload", 200)
	})
}

// TestV37ManyReferrers: junk that a pusher hangs on an image neither hides its signature nor takes the place of one.
func TestV37ManyReferrers(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		pusher, stranger := h.newMember(t, g.project, "developer"), signertest.New()
		good, bad := g.signed(t, "good"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		for i := range 120 {
			for _, im := range []image{good, bad} {
				junk := fmt.Appendf(nil, `{"mediaType":%q,"n":%d}`, typeBundle, i)
				if i%2 == 0 {
					junk = stranger.Bundle(im.digest, predicateSign, map[string]any{})
				}
				h.attach(t, pusher, g.repo, im.digest, junk)
			}
		}
		h.do(t, g.guest, "GET", manifestPath(g.repo, "good"), nil).want(t, "the signed image", 200)
		h.do(t, g.guest, "GET", manifestPath(g.repo, "bad"), nil).want(t, "the unsigned image", 403)
	})
}

// TestV44ReferrersUnderTheGate: of what refers to an image who pulls is told what he may read, of this repository alone.
func TestV44ReferrersUnderTheGate(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		im := g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		signature := g.attach(t, g.admin(), g.repo, im.digest, g.key.Bundle(im.digest, "https://example.com/a-note", map[string]any{}))
		tool := g.pushImage(t, g.admin(), g.repo, "", makeImage(map[string]any{"artifactType": "application/x.tool", "subject": descriptor{typeManifest, im.digest, 1}}))
		elsewhere := h.attach(t, h.admin(), h.project(t, "elsewhere", "private")+"/app", im.digest, g.key.Bundle(im.digest, predicateSign, map[string]any{}))
		list := "/v2/" + g.repo + "/referrers/" + im.digest.String()
		for _, c := range []struct {
			who  who
			tool bool
		}{{g.guest, false}, {h.newMember(t, g.project, "developer"), true}} {
			a := h.do(t, c.who, "GET", list, nil).want(t, "the referrers", 200)
			has := func(d digest.Digest) bool { return bytes.Contains(a.body, []byte(d)) }
			if !has(signature) || has(tool.digest) != c.tool || has(elsewhere) {
				t.Errorf("%s: %s", c.who.name, a)
			}
		}
		h.do(t, g.guest, "GET", manifestPath(g.repo, "bad"), nil).want(t, "what is signed elsewhere alone", 403)
	})
}
