package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestTokenLife sees that limits.token_life reaches the token service, which tells clients of it.
func TestTokenLife(t *testing.T) {
	for environ, want := range map[string]int64{"HALLMARK_TEST_DEFAULT=": 300, "HALLMARK_LIMITS_TOKEN_LIFE=2m": 120} {
		h := startHub(t, environ)
		w := httptest.NewRecorder()
		h.public.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/service/token?service="+h.auth.Service(), nil))
		var answer struct {
			ExpiresIn int64 `json:"expires_in"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d: %v: %s", w.Code, err, w.Body)
		}
		if answer.ExpiresIn != want {
			t.Errorf("%s: expires_in is %d, want %d", environ, answer.ExpiresIn, want)
		}
	}
}
