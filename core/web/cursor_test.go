package web_test

import (
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/web"
)

func TestCursor(t *testing.T) {
	c := web.NewCursors([]byte("0123456789abcdef0123456789abcdef"))
	sealed := c.Seal("scope", "a", "b\x00c")
	got, err := c.Open("scope", sealed, 2)
	if err != nil || got[0] != "a" || got[1] != "b\x00c" {
		t.Fatal(got, err)
	}
	if got, err := c.Open("scope", "", 2); err != nil || len(got) != 2 || got[0] != "" {
		t.Fatal(got, err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(sealed)
	for i := range raw { // every byte counts
		forged := append([]byte{}, raw...)
		forged[i] ^= 1
		if _, err := c.Open("scope", base64.RawURLEncoding.EncodeToString(forged), 2); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	other := web.NewCursors([]byte("another key of thirty-two bytes!"))
	for name, bad := range map[string]func() error{
		"other scope":  func() error { _, err := c.Open("other", sealed, 2); return err },
		"other length": func() error { _, err := c.Open("scope", sealed, 1); return err },
		"other key":    func() error { _, err := other.Open("scope", sealed, 2); return err },
		"cut":          func() error { _, err := c.Open("scope", sealed[:10], 2); return err },
		"text":         func() error { _, err := c.Open("scope", "' OR 1=1 --", 2); return err },
	} {
		if err := bad(); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCursorScope(t *testing.T) {
	alice := &core.Principal{Kind: core.KindUser, ID: "1"}
	scope := func(url string, p *core.Principal) string {
		return web.CursorScope(httptest.NewRequest("GET", url, nil), p)
	}
	base := scope("/api/v1/projects/a%2Fb?q=x&limit=5", alice)
	if base != scope("/api/v1/projects/a%2Fb?limit=7&cursor=zzz&q=x", alice) {
		t.Error("limit and cursor count")
	}
	for _, other := range []string{scope("/api/v1/projects/a%2Fb?q=y", alice), scope("/api/v1/projects/c?q=x", alice),
		scope("/api/v1/projects/a%2Fb?q=x", &core.Principal{Kind: core.KindUser, ID: "2"})} {
		if other == base {
			t.Error("the same scope:", other)
		}
	}
}

func TestNextLink(t *testing.T) {
	r := httptest.NewRequest("GET", "http://evil.example/api/v1/projects/p/repositories/a%2Fb/tags?limit=2&cursor=old", nil)
	if got, want := web.NextLink(r, "new"), `</api/v1/projects/p/repositories/a%2Fb/tags?cursor=new&limit=2>; rel="next"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
