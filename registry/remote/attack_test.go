package remote_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

func challenge(w http.ResponseWriter, value string) {
	w.Header().Set("WWW-Authenticate", value)
	w.WriteHeader(http.StatusUnauthorized)
}

// V-11: a registry that names somebody else's realm gets no credentials sent there, not even a request.
func TestHostileRealmGetsNothing(t *testing.T) {
	evil := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"token":"x"}`)) })
	for name, realm := range map[string]string{
		"another host":               evil.URL + "/token",
		"another port of this host":  "http://127.0.0.1:1/token",
		"this host in its user part": "http://SELF@" + evil.host() + "/token",
		"this host in its path":      evil.URL + "/SELF/token",
		"no address":                 "token",
		"a file":                     "file:///etc/passwd",
		"an unreadable address":      "http://[::1",
		"nothing":                    "",
	} {
		t.Run(name, func(t *testing.T) {
			var self *server
			self = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				challenge(w, `Bearer realm="`+strings.ReplaceAll(realm, "SELF", self.host())+`",service="s"`)
			})
			_, err := client(t, self).Manifest(t.Context(), repo, byTag("1.0"), false)
			wantCode(t, err, registry.CodeUnauthorized)
			if got := append(evil.seen(), self.authorized()...); len(got) > 0 {
				t.Fatalf("something was sent: %q", got)
			}
		})
	}
}

func TestHostileRealmIsNamedInTheError(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		challenge(w, `Bearer realm="https://evil.example.com/token",service="s"`)
	})
	_, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, "evil.example.com", s.host(), "Allow that host")
}

func TestAllowedRealmGetsCredentials(t *testing.T) {
	tokens := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"token":"good"}`)) })
	payload, d := image("one")
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			challenge(w, `Bearer realm="`+tokens.URL+`/token",service="s"`)
			return
		}
		writeManifest(w, payload, d)
	})
	r := client(t, s, func(o *remote.Options) { o.AllowRealmHosts = []string{tokens.host()} })
	if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Fatal(err)
	}
	if got := tokens.authorized(); len(got) != 1 || !strings.HasPrefix(got[0], "Basic ") {
		t.Fatalf("the token server was sent %q", got)
	}
}

// V-11: credentials that were asked for over TLS are not sent without, even to the same host.
func TestRealmWithoutTLSGetsNothing(t *testing.T) {
	evil := serve(t, false, func(w http.ResponseWriter, r *http.Request) {})
	s := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		challenge(w, `Bearer realm="`+evil.URL+`/token"`)
	})
	r := client(t, s, func(o *remote.Options) { o.AllowRealmHosts = []string{evil.host()} })
	_, err := r.Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, "without TLS")
	wantRequests(t, evil)
}

// V-11: nor does a redirecting token server carry them on.
func TestTokenServerIsNotFollowed(t *testing.T) {
	evil := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"token":"x"}`)) })
	var s *server
	s = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			http.Redirect(w, r, evil.URL+"/token", http.StatusTemporaryRedirect)
			return
		}
		challenge(w, `Bearer realm="`+s.URL+`/token"`)
	})
	_, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeUnauthorized, "redirects")
	wantRequests(t, evil)
}

// authorizing plays a registry that wants Basic, and then does h.
func authorizing(t *testing.T, tls bool, h http.HandlerFunc) *server {
	return serve(t, tls, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			challenge(w, `Basic realm="registry"`)
			return
		}
		h(w, r)
	})
}

// V-12: a redirect to another host is followed without the registry's credentials.
func TestRedirectedBlobCarriesNoCredentials(t *testing.T) {
	data := []byte("some layer")
	cdn := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(data) })
	s := authorizing(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cdn.URL+"/signed?by=us", http.StatusTemporaryRedirect)
	})
	r := client(t, s)
	if got, err := readBlob(t, r, digest.FromBytes(data)); err != nil || string(got) != string(data) {
		t.Fatalf("the blob is %q, %v", got, err)
	}
	if size, err := r.StatBlob(t.Context(), repo, digest.FromBytes(data), false); err != nil || size != int64(len(data)) {
		t.Fatalf("the blob's size is %d, %v", size, err)
	}
	wantRequests(t, cdn, "GET /signed", "HEAD /signed")
	if got := cdn.authorized(); len(got) > 0 {
		t.Fatalf("the other host was sent %q", got)
	}
}

// V-12: not even when the other host leads back.
func TestCredentialsDoNotReturnFromARedirect(t *testing.T) {
	var s *server
	other := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+"/back", http.StatusTemporaryRedirect)
	})
	var back []string
	s = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/back":
			back = append(back, r.Header.Get("Authorization"))
		case r.Header.Get("Authorization") == "":
			challenge(w, `Basic realm="registry"`)
		default:
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
	})
	_, _ = client(t, s).StatBlob(t.Context(), repo, digest.FromString("x"), false)
	if len(back) != 1 || back[0] != "" {
		t.Fatalf("what another host led to was sent %q", back)
	}
}

// V-12: bytes that are pushed go where the registry is, or where they are allowed to go.
func TestUploadLocationElsewhereIsRefused(t *testing.T) {
	evil := serve(t, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	for name, location := range map[string]string{
		"another host":      evil.URL + "/v2/x",
		"no scheme":         "//" + evil.host() + "/v2/x",
		"a user in it":      "http://user:password@SELF/v2/x",
		"a file":            "file:///etc/passwd",
		"nothing":           "",
		"unreadable":        "http://[::1",
		"a strange scheme":  "gopher://SELF/x",
		"a scheme and path": "http:x",
	} {
		t.Run(name, func(t *testing.T) {
			var s *server
			s = authorizing(t, false, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Location"] = []string{strings.ReplaceAll(location, "SELF", s.host())}
				w.WriteHeader(http.StatusAccepted)
			})
			_, err := client(t, s).StartUpload(t.Context(), repo, "")
			if code := registry.CodeOf(err); code != registry.CodeDenied && code != registry.CodeUnavailable {
				t.Fatalf("an upload to %q: %v", location, err)
			}
			wantRequests(t, evil)
		})
	}
}

// V-12: a Location that changes in the middle of an upload is looked at as well.
func TestUploadLocationThatMovesElsewhereIsRefused(t *testing.T) {
	evil := serve(t, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	s := authorizing(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v2/up")
		if r.Method == http.MethodPatch {
			w.Header().Set("Location", evil.URL+"/v2/up")
		}
		w.WriteHeader(http.StatusAccepted)
	})
	r := client(t, s)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishUpload(t.Context(), repo, u.ID, 0, strings.NewReader("bytes"), digest.FromString("bytes"))
	wantCode(t, err, registry.CodeDenied, evil.host())
	wantRequests(t, evil)
}

func TestAllowedUploadLocationGetsNoCredentials(t *testing.T) {
	store := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	s := authorizing(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", store.URL+"/up")
		w.WriteHeader(http.StatusAccepted)
	})
	r := client(t, s, func(o *remote.Options) { o.AllowRedirectHosts = []string{store.host()} })
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.FinishUpload(t.Context(), repo, u.ID, 0, strings.NewReader("bytes"), digest.FromString("bytes")); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, store, "PATCH /up", "PUT /up")
	if got := store.authorized(); len(got) > 0 {
		t.Fatalf("the other host was sent %q", got)
	}
}

// V-09: redirects end after three.
func TestRedirectLoopsEnd(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, err := client(t, s).Blob(t.Context(), repo, digest.FromString("x"))
	wantCode(t, err, registry.CodeUnavailable, "redirects more than 3 times")
	if n := len(s.seen()); n != 4 {
		t.Fatalf("%d requests were sent, want 1 and 3 redirects", n)
	}
}

// V-09: what began with TLS goes on with TLS.
func TestRedirectFromTLSToPlainIsRefused(t *testing.T) {
	plain := serve(t, false, func(w http.ResponseWriter, r *http.Request) {})
	s := authorizing(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", plain.URL+"/x")
		w.WriteHeader(map[bool]int{true: http.StatusAccepted, false: http.StatusFound}[r.Method == http.MethodPost])
	})
	r := client(t, s, func(o *remote.Options) { o.AllowRedirectHosts = []string{plain.host()} })
	_, err := r.Blob(t.Context(), repo, digest.FromString("x"))
	wantCode(t, err, registry.CodeUnavailable, "from https to http")
	_, err = r.StartUpload(t.Context(), repo, "")
	wantCode(t, err, registry.CodeUnavailable, "from https to http")
	wantRequests(t, plain)
}

func TestWritesAreNotRedirected(t *testing.T) {
	other := serve(t, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusPermanentRedirect)
	})
	r := client(t, s)
	payload, d := image("one")
	_, err := r.PutManifest(t.Context(), repo, registry.ManifestPut{MediaType: mediaType, Payload: payload, Tags: []string{"1.0"}})
	wantCode(t, err, registry.CodeUnsupported, "redirects a write")
	_, err = r.StartUpload(t.Context(), repo, "")
	wantCode(t, err, registry.CodeUnsupported)
	wantCode(t, r.DeleteBlob(t.Context(), repo, d), registry.CodeUnsupported)
	wantRequests(t, other)
}

// A body without end costs no more memory than the limit, whatever is asked for.
func TestEndlessBodiesEnd(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   registry.Code
		ask    func(r *remote.Registry) error
	}{
		"a manifest": {200, registry.CodeTooLarge, func(r *remote.Registry) error {
			_, err := r.Manifest(t.Context(), repo, byTag("1.0"), false)
			return err
		}},
		"tags": {200, registry.CodeTooLarge, func(r *remote.Registry) error {
			_, err := r.Tags(t.Context(), repo, "", 10)
			return err
		}},
		"repositories": {200, registry.CodeTooLarge, func(r *remote.Registry) error {
			_, err := r.Repositories(t.Context(), registry.RepositoryQuery{All: true, N: 10})
			return err
		}},
		"referrers": {200, registry.CodeTooLarge, func(r *remote.Registry) error {
			_, err := r.Referrers(t.Context(), repo, digest.FromString("x"), registry.ReferrerQuery{N: 10})
			return err
		}},
		"an error": {400, registry.CodeManifestUnknown, func(r *remote.Registry) error {
			_, err := r.Manifest(t.Context(), repo, byTag("1.0"), false)
			return err
		}},
		"an accepted upload": {202, registry.CodeUnavailable, func(r *remote.Registry) error {
			_, err := r.StartUpload(t.Context(), repo, "")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.status)
				endless(w, strings.Repeat(`{"errors":[`, 100))
			})
			wantCode(t, test.ask(client(t, s)), test.code)
		})
	}
}

func TestEndlessTokenEnds(t *testing.T) {
	var s *server
	s = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			endless(w, strings.Repeat(" ", 1000))
			return
		}
		challenge(w, `Bearer realm="`+s.URL+`/token"`)
	})
	_, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeTooLarge)
}

// What another registry says is shown to people: it is one line, printable, and not long.
func TestForeignWordsAreCleaned(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"\u001b[2J\r\nroot: ` + strings.Repeat("x", 5000) + `"}]}`))
	})
	_, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeDenied, s.host())
	if text := err.Error(); strings.ContainsAny(text, "\x1b\r\n") || len(text) > 600 {
		t.Fatalf("the error is %q", text)
	}
}
