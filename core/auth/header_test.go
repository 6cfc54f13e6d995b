package auth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
)

func TestParseAuthorization(t *testing.T) {
	enc := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		values []string
		want   credentials
		ok     bool
	}{
		{nil, credentials{}, true},
		{[]string{"Basic " + enc("alice:pass:word")}, credentials{schemeBasic, "alice", "pass:word"}, true},
		{[]string{"basic " + enc("alice:")}, credentials{schemeBasic, "alice", ""}, true},
		{[]string{"BASIC " + enc(":x")}, credentials{schemeBasic, "", "x"}, true},
		{[]string{"Basic " + enc("robot$p+ci:hmr_x")}, credentials{schemeBasic, "robot$p+ci", "hmr_x"}, true},
		{[]string{"Basic " + enc("ü:é")}, credentials{schemeBasic, "ü", "é"}, true},
		{[]string{"Bearer abc.def"}, credentials{schemeBearer, "", "abc.def"}, true},
		{[]string{"bearer x"}, credentials{schemeBearer, "", "x"}, true},
		{[]string{""}, credentials{}, false},
		{[]string{"Bearer"}, credentials{}, false},
		{[]string{"Bearer "}, credentials{}, false},
		{[]string{"Basic"}, credentials{}, false},
		{[]string{"Basic !!!"}, credentials{}, false},
		{[]string{"Basic " + enc("no colon")}, credentials{}, false},
		{[]string{"Basic " + enc("a:\xff")}, credentials{}, false},
		{[]string{"Basic " + enc("a\x00:b")}, credentials{}, false},
		{[]string{"Basic " + enc(strings.Repeat("a", maxUser)+":b")}, credentials{schemeBasic, strings.Repeat("a", maxUser), "b"}, true},
		{[]string{"Basic " + enc(strings.Repeat("a", maxUser+1)+":b")}, credentials{}, false},
		{[]string{"Basic " + enc("a:"+strings.Repeat("b", 1<<20))}, credentials{}, false},
		{[]string{"Digest username=alice"}, credentials{}, false},
		{[]string{"Negotiate abc"}, credentials{}, false},
		{[]string{"Bearer a", "Bearer a"}, credentials{}, false},
	} {
		h := http.Header{}
		if c.values != nil {
			h["Authorization"] = c.values
		}
		got, err := parseAuthorization(h)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%.60q: %+v, %v", c.values, got, err)
		}
		if err != nil {
			wantCode(t, err, core.CodeUnauthenticated)
		}
	}
}

func FuzzParseAuthorization(f *testing.F) {
	for _, s := range []string{"", "Basic YWxpY2U6eA==", "Basic !", "Bearer x", "Bearer ", "basic\tYTpi", "Basic  YTpi", "Bearer a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := parseAuthorization(http.Header{"Authorization": {value}})
		if err != nil {
			if core.CodeOf(err) != core.CodeUnauthenticated || c != (credentials{}) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		switch c.scheme {
		case schemeBasic:
			if len(c.user) > maxUser || strings.ContainsAny(c.user, ":\x00") || strings.ContainsRune(c.secret, 0) || !utf8.ValidString(c.user+c.secret) {
				t.Fatalf("%+v", c)
			}
			// The standard library reads the same.
			user, secret, ok := (&http.Request{Header: http.Header{"Authorization": {value}}}).BasicAuth()
			if !ok || user != c.user || secret != c.secret {
				t.Fatalf("%+v, but net/http reads %q %q %v", c, user, secret, ok)
			}
		case schemeBearer:
			if c.secret == "" || c.user != "" {
				t.Fatalf("%+v", c)
			}
		default:
			t.Fatalf("a header became nobody: %q", value)
		}
	})
}

func FuzzVerifyToken(f *testing.F) {
	h := sqliteHub(f)
	key := h.currentKey()
	good := h.token("", "")
	f.Add(good)
	f.Add(sign(key, []byte(h.goodClaims(nil))))
	f.Add(key.header + ".e30." + strings.Repeat("A", 86))
	f.Add(strings.Repeat(".", 1000))
	f.Fuzz(func(t *testing.T, token string) {
		p, err := h.Registry(bearer(token))
		if err == nil {
			// Nobody but us can make one that is good.
			if !strings.HasPrefix(token, key.header+".") || p.Kind != core.KindAnonymous || !p.RegistryToken || p.Grants == nil {
				t.Fatalf("%q is %+v", token, p)
			}
		} else if core.CodeOf(err) != core.CodeUnauthenticated {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// What stands in signed claims is read without harm, whatever it is.
func FuzzClaims(f *testing.F) {
	h := sqliteHub(f)
	key := h.currentKey()
	f.Add(h.goodClaims(nil))
	f.Add(h.goodClaims(func(m map[string]any) {
		m["access"] = []map[string]any{{"type": "repository", "name": "a/b", "actions": []string{"pull"}}}
	}))
	f.Add(`{"sub":"user:1","exp":99999999999}`)
	f.Fuzz(func(t *testing.T, payload string) {
		v, err := h.tokens.verify(h.ctx, sign(key, []byte(payload)))
		if err != nil {
			if core.CodeOf(err) != core.CodeUnauthenticated {
				t.Fatal(err)
			}
			return
		}
		if v.grants == nil || v.Issuer != tokenIssuer || v.Audience != h.service {
			t.Fatalf("%+v", v)
		}
		for _, g := range v.grants {
			if strings.Contains(g.Repository, "*") {
				t.Fatalf("a pattern: %+v", g)
			}
		}
	})
}
