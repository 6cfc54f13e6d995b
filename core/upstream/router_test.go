package upstream_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// push pushes a blob and a manifest that has it, tagged 1.
func (h *hub) push(ctx context.Context, repo, text string) (blob, manifest digest.Digest) {
	h.Helper()
	blob = digest.FromString(text)
	u, err := h.router.StartUpload(ctx, repo, "")
	h.must(err)
	_, err = h.router.FinishUpload(ctx, repo, u.ID, 0, strings.NewReader(text), blob)
	h.must(err)
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, blob, len(text))
	manifest = digest.FromBytes(m)
	_, err = h.router.PutManifest(ctx, repo, registry.ManifestPut{Digest: manifest, MediaType: "application/vnd.oci.image.manifest.v1+json", Payload: m, Tags: []string{"1"}})
	h.must(err)
	return blob, manifest
}

// What is pushed to a project in front of a registry lies there, under the rest of its name, and nowhere in the hub.
func TestNamesAndPlaces(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		address, other := behind(t, "x")
		h := newHub(t, open(t))
		h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
		h.project("front", "old")
		h.project("own", "")
		alice := as(t.Context(), "alice")
		blob, manifest := h.push(alice, "front/x/app", "one")
		if m, err := other.own.Manifest(alice, "x/app", registry.Reference{Tag: "1"}, false); err != nil || m.Digest != manifest {
			t.Errorf("behind: %v %v", m, err)
		}
		_, err := h.own.Manifest(alice, "front/x/app", registry.Reference{Tag: "1"}, false)
		h.code(err, registry.CodeNameUnknown)
		if page, err := h.router.Tags(alice, "front/x/app", "", 10); err != nil || len(page.Names) != 1 {
			t.Errorf("tags: %v %v", page, err)
		}
		// Read through the hub, it is known who refers to what.
		_, err = h.router.Manifest(alice, "front/x/app", registry.Reference{Tag: "1"}, false)
		h.must(err)
		if users, err := h.store.ReferencedBy(alice, "front/x/app", store.ReferenceBlob, string(blob), 10); err != nil || len(users) != 1 || users[0] != string(manifest) {
			t.Errorf("users: %v %v", users, err)
		}
		_, err = h.router.Manifest(alice, "front", registry.Reference{Tag: "1"}, false)
		h.code(err, registry.CodeNameUnknown)
		// Between stores nothing is mounted, in neither direction.
		any := func(context.Context, string) bool { return true }
		_, err = h.router.MountBlob(alice, "own/app", blob, registry.MountSource{Repository: "front/x/app", Allowed: any})
		h.code(err, registry.CodeBlobUnknown)
		own, _ := h.push(alice, "own/app", "two")
		_, err = h.router.MountBlob(alice, "front/x/app", own, registry.MountSource{Repository: "own/app", Allowed: any})
		h.code(err, registry.CodeBlobUnknown)
		// Within one registry it is, if the name it has here is allowed.
		h.project("second", "old")
		asked := ""
		_, err = h.router.MountBlob(alice, "second/x/copy", blob, registry.MountSource{Repository: "front/x/app",
			Allowed: func(_ context.Context, source string) bool { asked = source; return true }})
		h.must(err)
		if asked != "front/x/app" {
			t.Errorf("asked about %q", asked)
		}
		_, err = h.router.MountBlob(alice, "second/x/third", blob, registry.MountSource{Repository: "front/x/app",
			Allowed: func(context.Context, string) bool { return false }})
		h.code(err, registry.CodeBlobUnknown)
	})
}

// Who pushes and deletes there is written down as if it were here, and an upload is its beginner's alone.
func TestChangesAreWrittenDown(t *testing.T) {
	address, _ := behind(t, "x")
	h := newHub(t, dbtest.SQLite(t)(t))
	h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
	h.project("front", "old")
	alice, bob := as(t.Context(), "alice"), as(t.Context(), "bob")
	_, manifest := h.push(alice, "front/x/app", "one")
	h.must(h.router.DeleteTag(bob, "front/x/app", "1"))
	h.must(h.router.DeleteManifest(bob, "front/x/app", manifest))
	h.code(h.router.DeleteManifest(bob, "front/x/app", manifest), registry.CodeManifestUnknown)
	rows, _, err := h.store.AuditEntries(alice, store.AuditQuery{N: 3})
	h.must(err)
	var got []string
	for _, r := range rows {
		got = append(got, r.ActorName+" "+r.Action+" "+r.Object+" in "+r.Project)
	}
	want := "bob manifest.delete front/x/app@" + string(manifest) + " in front, bob tag.delete front/x/app:1 in front, alice manifest.push front/x/app:1 in front"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}

	u, err := h.router.StartUpload(alice, "front/x/app", "")
	h.must(err)
	for what, err := range map[string]error{
		"status": second(h.router.Upload(bob, "front/x/app", u.ID)),
		"append": second(h.router.AppendUpload(bob, "front/x/app", u.ID, 0, strings.NewReader("x"))),
		"finish": second(h.router.FinishUpload(bob, "front/x/app", u.ID, 0, nil, none)),
		"cancel": h.router.CancelUpload(bob, "front/x/app", u.ID),
		"other":  second(h.router.Upload(alice, "front/x/other", u.ID)),
		"cut":    second(h.router.Upload(alice, "front/x/app", strings.Split(u.ID, "-")[0])),
		"made":   second(h.router.Upload(alice, "front/x/app", u.ID[:len(u.ID)-1]+"g")),
	} {
		if registry.CodeOf(err) != registry.CodeBlobUploadUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.must(h.router.CancelUpload(alice, "front/x/app", u.ID))
}

func second[T any](_ T, err error) error { return err }

// Whatever the registry behind does, who asks gets a sentence and a status that says it is not their fault, and never content.
func TestBrokenBehind(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2}`)
	down := httptest.NewServer(nil)
	down.Close()
	for name, c := range map[string]struct {
		address string
		word    string
	}{
		"down":         {down.URL, "cannot be reached"},
		"unauthorized": {plays(t, status(http.StatusUnauthorized, "")), "does not accept the credentials"},
		"forbidden":    {plays(t, status(http.StatusForbidden, "")), "denies this to the credentials"},
		"broken":       {plays(t, status(http.StatusInternalServerError, "<html>")), "answers 500"},
		"garbage":      {plays(t, status(http.StatusOK, "<html>")), "other bytes"},
		"lies": {plays(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", string(none))
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Write(manifest)
		}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, dbtest.SQLite(t)(t))
			h.registry("old", store.RegistryPut{URL: c.address, PlainHTTP: true})
			h.project("front", "old")
			ctx := as(t.Context(), "alice")
			_, err := h.router.Manifest(ctx, "front/app", registry.Reference{Digest: none}, false)
			h.code(err, registry.CodeUnavailable)
			if m := message(err); !strings.Contains(m, c.word) || !strings.Contains(m, "the registry behind project front cannot answer") {
				t.Errorf("it says %q", m)
			}
			_, err = h.router.Manifest(ctx, "front/app", registry.Reference{Tag: "1"}, false)
			h.code(err, registry.CodeUnavailable)
			b, err := h.router.Blob(ctx, "front/app", digest.FromString("wanted"))
			if err == nil {
				_, err = io.ReadAll(b.Content)
				b.Content.Close()
			}
			h.code(err, registry.CodeUnavailable)
		})
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// A redirect leads to no service of this machine, and to no address that answers whoever is there.
func TestRedirectsInside(t *testing.T) {
	var asked atomic.Int64
	inside := plays(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, to := range []string{inside, "http://169.254.169.254", "http://0.0.0.0:1", "http://[fe80::1]:1"} {
		address := plays(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to+r.URL.Path, http.StatusFound) })
		h := newHub(t, dbtest.SQLite(t)(t))
		h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
		h.project("front", "old")
		_, err := h.router.Manifest(as(t.Context(), "alice"), "front/app", registry.Reference{Tag: "1"}, false)
		h.code(err, registry.CodeUnavailable)
	}
	if asked.Load() != 0 {
		t.Error("a redirect was followed to a service of this machine")
	}
}

// The credentials go to their registry alone, are changed in force at once, and are in no error.
func TestCredentials(t *testing.T) {
	const secret = "secret-canary"
	var last atomic.Value
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		last.Store(user + ":" + password)
		if password != secret {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	h := newHub(t, dbtest.SQLite(t)(t))
	wrong, right := "wrong", secret
	check := func(words ...string) {
		t.Helper()
		said, err := h.endpoints.Check(h.admin, "old")
		h.must(err)
		if strings.Contains(said, secret) || (said == "") != (len(words) == 0) {
			t.Errorf("it says %q", said)
		}
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("it says %q, and not %q", said, w)
			}
		}
	}
	h.registry("old", store.RegistryPut{URL: s.URL, Username: "hub", Password: &wrong})
	check("cannot be reached") // nobody known has issued its certificate
	h.registry("old", store.RegistryPut{URL: s.URL, Username: "hub", Password: &wrong, CAPEM: ca})
	check("does not accept the credentials")
	h.registry("old", store.RegistryPut{URL: s.URL, Username: "hub", Password: &right, CAPEM: ca})
	check()
	h.registry("old", store.RegistryPut{URL: s.URL, Username: "hub"})
	check("cannot be reached")
	h.registry("old", store.RegistryPut{URL: s.URL, Username: "hub", CAPEM: ca})
	check()
	if last.Load() != "hub:"+secret {
		t.Error("the password that was left out is not the one there was")
	}
	_, err := h.endpoints.Check(h.admin, "none")
	if core.CodeOf(err) != core.CodeNotFound {
		t.Error(err)
	}
}

// A blob is not given as a whole where its bytes are others, or end early.
func TestLyingBlob(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 1<<10)
	for name, sent := range map[string][]byte{"other bytes": bytes.Repeat([]byte("y"), 1<<10), "fewer": text[:10]} {
		t.Run(name, func(t *testing.T) {
			address := plays(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
				w.Write(sent)
			})
			h := newHub(t, dbtest.SQLite(t)(t))
			h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
			h.project("front", "old")
			b, err := h.router.Blob(as(t.Context(), "alice"), "front/app", digest.FromBytes(text))
			h.must(err)
			defer b.Content.Close()
			got, err := io.ReadAll(b.Content)
			if registry.CodeOf(err) != registry.CodeUnavailable || len(got) >= len(text) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// Who goes away is not told of a fault.
func TestCancelled(t *testing.T) {
	asked := make(chan struct{})
	address := plays(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	h := newHub(t, dbtest.SQLite(t)(t))
	h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
	h.project("front", "old")
	ctx, cancel := context.WithCancel(as(t.Context(), "alice"))
	go func() { <-asked; cancel() }()
	if _, err := h.router.Manifest(ctx, "front/app", registry.Reference{Tag: "1"}, false); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Of one manifest a bounded number of references is noted, the first ones.
func TestManyReferences(t *testing.T) {
	child := func(n int) string { return string(digest.FromString(fmt.Sprint(n))) }
	var list []string
	for n := range 1001 {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}`, child(n)))
	}
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + strings.Join(list, ",") + `]}`
	address := plays(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		io.WriteString(w, index)
	})
	h := newHub(t, dbtest.SQLite(t)(t))
	h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
	h.project("front", "old")
	_, err := h.router.Manifest(as(t.Context(), "alice"), "front/app", registry.Reference{Tag: "1"}, false)
	h.must(err)
	for n, want := range map[int]int{0: 1, 999: 1, 1000: 0} {
		if got, err := h.store.ReferencedBy(t.Context(), "front/app", store.ReferenceManifest, child(n), 10); err != nil || len(got) != want {
			t.Errorf("child %d: %v %v", n, got, err)
		}
	}
}
