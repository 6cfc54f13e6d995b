package remote_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// A registry that lets everybody in and then gives less to whoever it does not know is told who asks only if that is
// wished, and before the first request.
func TestLogInFirst(t *testing.T) {
	g := &guarded{expires: 300, h: oneImage}
	open := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" && r.URL.Path != "/token" && r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		g.serve(w, r)
	}
	_, err := played(t, open).Manifest(t.Context(), repo, byTag("1.0"), false)
	wantCode(t, err, registry.CodeDenied)
	r := played(t, open, func(o *remote.Options) { o.LogIn = true })
	for range 2 {
		if _, err := r.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
			t.Fatal(err)
		}
	}
	if g.issued != 1 || !strings.Contains(g.asked[0], "repository:"+repo+":pull") {
		t.Errorf("%d tokens for %q", g.issued, g.asked)
	}
	nobody := played(t, func(w http.ResponseWriter, r *http.Request) { oneImage(w, r) }, func(o *remote.Options) { o.LogIn = true })
	if _, err := nobody.Manifest(t.Context(), repo, byTag("1.0"), false); err != nil {
		t.Error("a registry that asks for nothing is none any more:", err)
	}
}
