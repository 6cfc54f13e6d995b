package remote_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func mustURL(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// failing plays a registry that answers with status a number of times before it does h.
func failing(times, status int, header http.Header, h http.HandlerFunc) (transport, *int) {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		if n++; n > times {
			h(w, r)
			return
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
	}, &n
}

func TestReadsAreRepeated(t *testing.T) {
	for _, status := range []int{429, 502, 503, 504, statusBroken} {
		synctest.Test(t, func(t *testing.T) {
			h, n := failing(3, status, nil, oneImage)
			begin := time.Now()
			if _, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
				t.Fatalf("%d: %v", status, err)
			}
			// Waits of 250, 500 and 1000 ms, each shortened by up to a half.
			if took := time.Since(begin); *n != 4 || took < 875*time.Millisecond || took > 1750*time.Millisecond {
				t.Fatalf("%d: %d requests took %v", status, *n, took)
			}
		})
	}
}

func TestRepetitionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := failing(1000, 503, nil, oneImage)
		_, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false)
		wantCode(t, err, registry.CodeUnavailable, "registry.example.com")
		if *n != 4 {
			t.Fatalf("%d requests were sent", *n)
		}
	})
}

func TestWhatFailedForGoodIsNotRepeated(t *testing.T) {
	for status, code := range map[int]registry.Code{400: registry.CodeManifestUnknown, 401: registry.CodeUnauthorized,
		403: registry.CodeDenied, 404: registry.CodeManifestUnknown, 405: registry.CodeUnsupported,
		500: registry.CodeUnavailable, 507: registry.CodeNoSpace} {
		h, n := failing(1000, status, nil, oneImage)
		_, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false)
		wantCode(t, err, code, "registry.example.com")
		if *n != 1 {
			t.Fatalf("%d: %d requests were sent", status, *n)
		}
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, value := range []string{"7", time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)} {
			h, _ := failing(1, 429, http.Header{"Retry-After": {value}}, oneImage)
			begin := time.Now()
			if _, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != 7*time.Second && value == "7" || took > 7*time.Second {
				t.Fatalf("Retry-After %q was waited for %v", value, took)
			}
		}
	})
}

// A long Retry-After is for whoever runs the job: it is in the error, and nobody waits here.
func TestLongRetryAfterIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := failing(1, 429, http.Header{"Retry-After": {"3600"}}, oneImage)
		begin := time.Now()
		_, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false)
		wantCode(t, err, registry.CodeTooManyRequests)
		var e *registry.Error
		if errors.As(err, &e); e.RetryAfter != time.Hour || *n != 1 || time.Since(begin) != 0 {
			t.Fatalf("after %v and %d requests: %+v", time.Since(begin), *n, e)
		}
	})
}

func TestOddRetryAfterIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, value := range []string{"-5", "soon", "99999999999999999999", "1e9", "Mon, 01 Jan 1990 00:00:00 GMT"} {
			h, _ := failing(1, 503, http.Header{"Retry-After": {value}}, oneImage)
			begin := time.Now()
			if _, err := played(t, h).Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took > time.Second {
				t.Fatalf("Retry-After %q was waited for %v", value, took)
			}
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := failing(1000, 503, http.Header{"Retry-After": {"20"}}, oneImage)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := played(t, h).Manifest(ctx, repo, byTag("1.0"), false)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestPushOfAManifestIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		payload, d := image("one")
		h, n := failing(2, statusBroken, nil, func(w http.ResponseWriter, r *http.Request) {
			if got, _ := io.ReadAll(r.Body); string(got) != string(payload) {
				t.Errorf("the third push has the body %q", got)
			}
			w.Header().Set("Docker-Content-Digest", d.String())
			w.WriteHeader(http.StatusCreated)
		})
		put := registry.ManifestPut{MediaType: mediaType, Payload: payload, Tags: []string{"1.0"}}
		if _, err := played(t, h).PutManifest(t.Context(), repo, put); err != nil || *n != 3 {
			t.Fatalf("after %d requests: %v", *n, err)
		}
	})
}

// What an upload's bytes did before the connection broke nobody knows, so they are not sent again.
func TestUploadsAreNotRepeated(t *testing.T) {
	methods := map[string]int{}
	h := transport(func(w http.ResponseWriter, r *http.Request) {
		methods[r.Method]++
		w.Header().Set("Location", "/v2/up")
		w.WriteHeader(map[string]int{"POST": 202, "GET": 204, "PATCH": 503, "PUT": 503}[r.Method])
	})
	r := played(t, h)
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.AppendUpload(t.Context(), repo, u.ID, 0, strings.NewReader("bytes"))
	wantCode(t, err, registry.CodeUnavailable)
	_, err = r.FinishUpload(t.Context(), repo, u.ID, 0, nil, digest.FromString(""))
	wantCode(t, err, registry.CodeUnavailable)
	if methods["POST"] != 1 || methods["PATCH"] != 1 || methods["PUT"] != 1 {
		t.Fatalf("the requests were %v", methods)
	}
}

// A delete that broke off may have been done; one that was refused was not.
func TestDeletesAreRepeatedOnlyWhenRefused(t *testing.T) {
	for status, want := range map[int]int{503: 3, 429: 3, 502: 1, statusBroken: 1} {
		synctest.Test(t, func(t *testing.T) {
			h, n := failing(2, status, nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
			err := played(t, h).DeleteTag(t.Context(), repo, "1.0")
			if *n != want || (err == nil) != (want == 3) {
				t.Fatalf("%d: %d requests, %v", status, *n, err)
			}
		})
	}
}

// The reason why a host cannot be reached is for the log: a client could learn from it what there is in our network.
func TestUnreachableHostsLookAlike(t *testing.T) {
	var messages []string
	for range 2 {
		r := played(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(statusBroken) })
		_, err := r.StartUpload(t.Context(), repo, "")
		var e *registry.Error
		if !errors.As(err, &e) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the error is %v", err)
		}
		messages = append(messages, e.Message)
	}
	if messages[0] != messages[1] || strings.Contains(messages[0], "EOF") {
		t.Fatalf("clients are told %q", messages)
	}
}
