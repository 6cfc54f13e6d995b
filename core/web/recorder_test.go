package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRecorder(t *testing.T) {
	r := NewRecorder()
	if r.Status() != http.StatusOK || len(r.Body()) != 0 {
		t.Errorf("empty: %d %q", r.Status(), r.Body())
	}
	r.Header().Set("Location", "/x")
	r.WriteHeader(http.StatusCreated)
	r.WriteHeader(http.StatusTeapot)
	for _, s := range []string{"a", "b"} {
		if _, err := r.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "1")
	r.Send(w)
	if w.Code != http.StatusCreated || w.Body.String() != "ab" || w.Header().Get("Location") != "/x" || w.Header().Get("X-Request-Id") != "1" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}
