package gate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

func TestWhichPatternsSayWhoseIdentitiesTheyAre(t *testing.T) {
	for pattern, want := range map[string]bool{
		`https://github\.com/acme/.*`: true,
		`https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v.*`: true,
		`^https://github\.com/acme/app/.*$`:                                          true,
		`https://github.com/acme/app/.*`:                                             false, // the dot is any character, and the prefix ends there
		`.*@acme\.com`:                                                               true,
		`[^@]+@acme\.com`:                                                            true,
		`(alice|bob)@acme\.com`:                                                      true,
		`alice@acme\.com|bob@acme\.com`:                                              true,
		`alice@gmail\.com`:                                                           true, // one person
		`spiffe://acme\.internal/ns/.+`:                                              true,
		`https://ci\.acme\.internal/.*`:                                              true,
		`(?i)https://github\.com/acme/.*`:                                            true,

		`.*`: false, `.+`: false, `^.*$`: false, `(.*)`: false, `.{0,}`: false, `[\s\S]*`: false, `.*.*`: false, `(?s).*`: false, `a?.*`: false, ``: false,
		`()`: false, `.*@.*`: false, `.*@gmail\.com`: false, `.+@users\.noreply\.github\.com`: false, `x|.*`: false, `alice@acme\.com|.*`: false,
		`https://.*`: false, `https://github\.com/.*`: false, `https://github\.com/a.*`: false, `https://github\.com/[^/]+/app/.*`: false,
		`.*/acme/.*`: false, `.*acme.*`: false, `.*\.acme\.com`: false, `.*acme\.com`: false, `https://github\.com`: true, `https?://github\.com/acme/.*`: false,
		`.*@\.com`: false, `.*@com`: false, `(alice|.*)@.*`: false, `[a-z]+`: false, `https://gitlab\.com/.+@refs/heads/main`: false,
		`(`: false, `a)|(b`: false, `(?=x)y`: false, strings.Repeat("a", 600): false, `(a{30}){30}@acme\.com`: false,
	} {
		_, err := subjectPattern(pattern)
		if (err == nil) != want {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestAPatternCoversTheWholeSubject(t *testing.T) {
	re, err := subjectPattern(`ci@example|ci@example\.org`)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{"ci@example": true, "ci@example.org": true, "ci@example.com": false, "xci@example": false,
		"ci@example\n": false, "ci@example.org\nx": false} {
		if re.MatchString(s) != want {
			t.Errorf("%q is not %v", s, want)
		}
	}
}

func TestWhichKeysCanBeUsed(t *testing.T) {
	encode := func(kind string, key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ec := func(c elliptic.Curve) any {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := encode("PUBLIC KEY", ec(elliptic.P256()))
	// What core.ParsePublicKey refuses is refused in its words, and what it takes is taken.
	for name, pem := range map[string]string{
		"P-256": p256, "P-224": encode("PUBLIC KEY", ec(elliptic.P224())), "Ed25519": encode("PUBLIC KEY", ed), "RSA": encode("PUBLIC KEY", &strong.PublicKey),
		"weak RSA": encode("PUBLIC KEY", &weak.PublicKey), "private": encode("EC PRIVATE KEY", ec(elliptic.P256())), "two": p256 + p256, "cut": p256[:60],
	} {
		key, err := core.ParsePublicKey([]byte(pem))
		p, refused := Parse([]byte(document1("p", "project: prod", "authorities: [{name: a, key: {pem: \""+strings.ReplaceAll(pem, "\n", `\n`)+"\"}}]\n"+sig)))
		var told *core.Error
		switch {
		case errors.As(err, &told) && (refused == nil || !strings.Contains(refused.Error(), told.Message)):
			t.Errorf("%s: %v, and in a policy %v", name, err, refused)
		case err == nil && (refused != nil || p.Keys()[0].Fingerprint != key.Fingerprint):
			t.Errorf("%s is refused in a policy: %v", name, refused)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, tt := range []struct {
		glob, name string
		want       bool
	}{
		{"**", "prod/app", true}, {"prod/**", "prod/app", true}, {"prod/**", "prod/a/b/c", true}, {"prod/**", "prod", false}, {"prod/**", "production/app", false},
		{"prod/*", "prod/app", true}, {"prod/*", "prod/a/b", false}, {"prod/app", "prod/app", true}, {"prod/app", "prod/app2", false},
		{"prod/app-*", "prod/app-web", true}, {"prod/app-*", "prod/app-", true}, {"prod/**/app", "prod/app", true}, {"prod/**/app", "prod/x/y/app", true},
		{"prod/**/app", "prod/xapp", false}, {"prod/?", "prod/a", true}, {"prod/?", "prod/ab", false}, {"*/app", "prod/app", true}, {"*/app", "a/b/app", false},
		{"**/app", "a/b/app", true}, {"prod/a.b", "prod/axb", false}, {"prod/a.b*", "prod/axb", false}, {"**app", "prod/my-app", true},
	} {
		g, err := repositoryGlob(tt.glob)
		if err != nil {
			t.Errorf("%s: %v", tt.glob, err)
		} else if g.match(tt.name) != tt.want {
			t.Errorf("%s covers %s is not %v", tt.glob, tt.name, tt.want)
		}
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", "***", "a[b]", "a{b,c}", `a\*`, "A", "a b", "é", strings.Repeat("a", 256)} {
		if _, err := repositoryGlob(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if g, err := tagGlob("V1.*"); err != nil || !g.match("V1.2") || g.match("V2") {
		t.Error("tags have upper case")
	}
}

func TestPathsOfFields(t *testing.T) {
	predicate := map[string]any{"a": map[string]any{"b": []any{"x", 2.0, true, map[string]any{"c.d": "deep"}}, "n": nil, "": "empty"}, "long": strings.Repeat("a", maxValue+1)}
	for _, tt := range []struct {
		path, matches string
		equals        any
		want          bool
	}{
		{"$.a.b[0]", "", "x", true}, {"$.a.b[1]", "", 2.0, true}, {"$.a.b[2]", "", true, true}, {`$.a.b[3]["c.d"]`, "", "deep", true}, {`$["a"]["b"][0]`, "", "x", true},
		{"$.a.b[0]", "", "y", false}, {"$.a.b[1]", "", "2", false}, {"$.a.b[4]", "", "x", false}, {"$.a.c", "", "x", false}, {"$.a.b.c", "", "x", false},
		{"$.a[0]", "", "x", false}, {"$.a.n", "", "x", false}, {"$.a", "", "x", false},
		{"$.a.b[0]", "x|y", nil, true}, {"$.a.b[0]", "xx", nil, false}, {"$.a.b[1]", ".*", nil, false}, {`$.a.b[3]["c.d"]`, "dee", nil, false}, {"$.long", "a*", nil, false},
	} {
		steps, err := parsePath(tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		f := fieldRule{steps: steps, equals: tt.equals}
		if tt.matches != "" {
			if f.matches, err = anchored(tt.matches); err != nil {
				t.Fatal(err)
			}
		}
		if f.holds(predicate) != tt.want {
			t.Errorf("%s %s %v is not %v", tt.path, tt.matches, tt.equals, tt.want)
		}
	}
	for _, bad := range []string{"", "$", "a", "$a", "$.", "$..a", "$.a.", "$.a[", "$.a[]", "$.a[-1]", "$.a[x]", `$.a["x]`, "$.a[*]", "$.*", "$.a[0]b", `$["a"`,
		"$.a[99999999999]", "$" + strings.Repeat(".a", 33), "$." + strings.Repeat("a", 300)} {
		if _, err := parsePath(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
