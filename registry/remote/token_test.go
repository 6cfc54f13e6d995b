package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// guarded plays a registry with a token server on the same host. Tokens are numbered; only the newest is good.
type guarded struct {
	mu      sync.Mutex
	issued  int
	asked   []string // the scopes of each token request
	expires int      // seconds
	h       http.HandlerFunc
}

func (g *guarded) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		g.token(w, r)
		return
	}
	g.mu.Lock()
	good := g.issued > 0 && r.Header.Get("Authorization") == "Bearer "+g.name()
	g.mu.Unlock()
	if !good {
		scheme := "https://"
		if r.TLS == nil && r.URL.Scheme == "" {
			scheme = "http://"
		}
		challenge(w, `Bearer realm="`+scheme+r.Host+`/token",service="registry",scope="repository:`+repo+`:pull"`)
		return
	}
	g.h(w, r)
}

func (g *guarded) name() string { return "token-" + strings.Repeat("i", g.issued) }

func (g *guarded) token(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != "robot" || password != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued++
	g.asked = append(g.asked, strings.Join(r.URL.Query()["scope"], " "))
	_ = json.NewEncoder(w).Encode(map[string]any{"token": g.name(), "expires_in": g.expires})
}

func oneImage(w http.ResponseWriter, r *http.Request) {
	payload, d := image("one")
	writeManifest(w, payload, d)
}

func TestTokenIsKeptUntilItRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{expires: 300, h: oneImage}
		r := played(t, g.serve)
		pull := func(wantTokens int) {
			t.Helper()
			if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
				t.Fatal(err)
			}
			if g.issued != wantTokens {
				t.Fatalf("%d tokens were fetched, want %d", g.issued, wantTokens)
			}
		}
		pull(1)
		pull(1)
		<-time.After(269 * time.Second) // of the bubble: nine tenths of 300 s
		pull(1)
		<-time.After(2 * time.Second)
		pull(2)
	})
}

// A body can be sent once, so a token that has run out is renewed before it is refused.
func TestExpiredTokenDoesNotCostAnUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused int
		g := &guarded{expires: 60}
		g.h = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v2/up")
			w.WriteHeader(map[string]int{"POST": 202, "PATCH": 202, "PUT": 201}[r.Method])
		}
		r := played(t, func(w http.ResponseWriter, req *http.Request) {
			if g.serve(w, req); req.Method == http.MethodPatch && w.Header().Get("WWW-Authenticate") != "" {
				refused++
			}
		})
		u, err := r.StartUpload(t.Context(), repo, "")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		_, err = r.FinishUpload(t.Context(), repo, u.ID, 0, once{strings.NewReader("bytes")}, digest.FromString("bytes"))
		if err != nil || refused > 0 {
			t.Fatalf("the upload: %v; %d parts were refused", err, refused)
		}
	})
}

// once hides everything but Read.
type once struct{ r *strings.Reader }

func (o once) Read(p []byte) (int, error) { return o.r.Read(p) }

func TestTokenIsAskedForWithOwnAndForeignScope(t *testing.T) {
	g := &guarded{expires: 300, h: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }}
	r := played(t, g.serve)
	if err := r.DeleteTag(t.Context(), repo, "1.0"); err != nil {
		t.Fatal(err)
	}
	want := []string{"repository:p1/app:delete repository:p1/app:pull"}
	if !slices.Equal(g.asked, want) {
		t.Fatalf("the scopes asked for are %q, want %q", g.asked, want)
	}
}

func TestOneTokenServesManyRequestsAtOnce(t *testing.T) {
	g := &guarded{expires: 300, h: oneImage}
	s := serve(t, false, g.serve)
	r := client(t, s)
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 16 {
		wait.Go(func() {
			if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
				failed.Store(&err)
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if g.issued != 1 {
		t.Fatalf("%d tokens were fetched", g.issued)
	}
}

// A token that the registry no longer takes is replaced once, and then the refusal stands.
func TestWithdrawnTokenIsReplacedOnce(t *testing.T) {
	g := &guarded{expires: 300, h: oneImage}
	s := serve(t, false, g.serve)
	r := client(t, s)
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.issued++ // somebody else got a newer one
	g.mu.Unlock()
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	always := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = w.Write([]byte(`{"access_token":"never good"}`))
			return
		}
		challenge(w, `Bearer realm="http://`+r.Host+`/token",error="insufficient_scope"`)
	})
	_, err := client(t, always).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, always.host())
	wantRequests(t, always, "GET /v2/p1/app/manifests/1.0", "GET /token", "GET /v2/p1/app/manifests/1.0")
}

func TestWrongPasswordIsNamed(t *testing.T) {
	g := &guarded{h: oneImage}
	s := serve(t, false, g.serve)
	r := client(t, s, func(o *remote.Options) {
		o.Credentials = func(context.Context, string) (remote.Credentials, error) {
			return remote.Credentials{Username: "robot", Password: "wrong"}, nil
		}
	})
	_, err := r.Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, s.host(), "Check user and password")
}

func TestCredentialsAreNotSentUnasked(t *testing.T) {
	s := serve(t, false, oneImage)
	if _, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	if got := s.authorized(); len(got) > 0 {
		t.Fatalf("an open registry was sent %q", got)
	}
}

func TestBasicIsRemembered(t *testing.T) {
	s := authorizing(t, false, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		oneImage(w, r)
	})
	r := client(t, s)
	for range 2 {
		if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.seen()); n != 3 {
		t.Fatalf("%d requests, want one refused and two good ones", n)
	}
}

func TestAnonymousIsToldThatCredentialsAreWanted(t *testing.T) {
	s := authorizing(t, false, oneImage)
	r := client(t, s, func(o *remote.Options) { o.Credentials = nil })
	_, err := r.Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, s.host(), "wants some")
}

func TestGivenTokenIsSentAsItIs(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer given" {
			challenge(w, `Bearer realm="http://`+r.Host+`/token"`)
			return
		}
		oneImage(w, r)
	})
	r := client(t, s, func(o *remote.Options) {
		o.Credentials = func(context.Context, string) (remote.Credentials, error) {
			return remote.Credentials{Token: "given"}, nil
		}
	})
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(s.seen(), "GET /token") {
		t.Fatal("a token was fetched besides")
	}
}

func TestFailingCredentialsFailTheRequest(t *testing.T) {
	sealed := errors.New("the vault is sealed")
	s := authorizing(t, false, oneImage)
	r := client(t, s, func(o *remote.Options) {
		o.Credentials = func(context.Context, string) (remote.Credentials, error) { return remote.Credentials{}, sealed }
	})
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); !errors.Is(err, sealed) {
		t.Fatalf("the error is %v", err)
	}
}

func TestURLsThatAreNoRegistryAreRefused(t *testing.T) {
	for _, address := range []string{"", "registry.example.com", "https://", "ftp://registry.example.com",
		"http://registry.example.com", "https://user@registry.example.com", "https://registry.example.com/v2",
		"https://registry.example.com?x"} {
		u := mustURL(t, address)
		if _, err := remote.New(u, remote.Options{}); err == nil {
			t.Errorf("%q is taken for a registry", address)
		}
	}
	if _, err := remote.New(nil, remote.Options{}); err == nil {
		t.Error("nil is taken for a registry")
	}
	for _, address := range []string{"https://registry.example.com", "https://registry.example.com:5000/"} {
		if _, err := remote.New(mustURL(t, address), remote.Options{}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}
