package web_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/web"
)

func read(contentType, body string, limit int64, chunked bool) ([]byte, error) {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if chunked {
		r.ContentLength = -1
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return web.ReadJSON(httptest.NewRecorder(), r, limit)
}

func TestBodyMustBeJSON(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body string
		want              core.ErrorCode
	}{
		"object":           {"application/json", `{"a": 1}`, ""},
		"charset":          {"application/json; charset=UTF-8", `{}`, ""},
		"absent":           {"", "", ""},
		"no type":          {"", `{}`, core.CodeMediaType},
		"text":             {"text/plain", `{}`, core.CodeMediaType},
		"form":             {"application/x-www-form-urlencoded", `a=1`, core.CodeMediaType},
		"multipart":        {"multipart/form-data; boundary=x", `--x--`, core.CodeMediaType},
		"suffix":           {"application/merge-patch+json", `{}`, core.CodeMediaType},
		"latin1":           {"application/json; charset=latin1", `{}`, core.CodeMediaType},
		"garbage type":     {"application/json;;", `{}`, core.CodeMediaType},
		"duplicate":        {"application/json", `{"a": 1, "a": 2}`, core.CodeInvalid},
		"duplicate below":  {"application/json", `{"x": [{"a": 1, "\u0061": 2}]}`, core.CodeInvalid},
		"two values":       {"application/json", `{} {}`, core.CodeInvalid},
		"trailing garbage": {"application/json", `{}x`, core.CodeInvalid},
		"trailing space":   {"application/json", "{}\n\n", ""},
		"cut off":          {"application/json", `{"a":`, core.CodeInvalid},
		"not UTF-8":        {"application/json", "{\"a\": \"\xff\"}", core.CodeInvalid},
		"BOM":              {"application/json", "\ufeff{}", core.CodeInvalid},
		"deep":             {"application/json", strings.Repeat("[", 33) + strings.Repeat("]", 33), core.CodeInvalid},
		"deep enough":      {"application/json", strings.Repeat("[", 32) + strings.Repeat("]", 32), ""},
		"very deep":        {"application/json", strings.Repeat(`{"a":`, 100_000), core.CodeInvalid},
		"not a number":     {"application/json", `{"a": NaN}`, core.CodeInvalid},
		"comment":          {"application/json", `{} // x`, core.CodeInvalid},
		"single quotes":    {"application/json", `{'a': 1}`, core.CodeInvalid},
	} {
		if _, err := read(c.contentType, c.body, web.MaxBody, false); core.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want code %q", name, err, c.want)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	at := `"` + strings.Repeat("x", 98) + `"`
	for _, chunked := range []bool{false, true} {
		if _, err := read("application/json", at, 100, chunked); err != nil {
			t.Errorf("chunked=%v: at the limit: %v", chunked, err)
		}
		if _, err := read("application/json", at+" ", 100, chunked); core.CodeOf(err) != core.CodeTooLarge {
			t.Errorf("chunked=%v: one past the limit: %v", chunked, err)
		}
	}
}

func TestDuplicateFieldIsNamed(t *testing.T) {
	_, err := read("application/json", `{"x": {"name": 1, "name": 2}}`, 100, false)
	e, ok := err.(*core.Error)
	if !ok || len(e.Fields) != 1 || e.Fields[0].Pointer != "/x/name" {
		t.Fatalf("%#v", err)
	}
}
