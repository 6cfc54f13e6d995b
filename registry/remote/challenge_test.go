package remote

import (
	"maps"
	"testing"
)

func TestChallengesAreRead(t *testing.T) {
	for _, test := range []struct {
		values []string
		scheme string
		want   map[string]string
	}{
		{[]string{`Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"`}, "bearer",
			map[string]string{"realm": "https://a/t", "service": "s", "scope": "repository:a:pull,push"}},
		{[]string{`bearer REALM = "https://a/t" , service=s`}, "bearer", map[string]string{"realm": "https://a/t", "service": "s"}},
		{[]string{`Basic realm="a", Bearer realm="b"`}, "bearer", map[string]string{"realm": "b"}},
		{[]string{`Basic realm="a"`, `Bearer realm="b"`}, "basic", map[string]string{"realm": "a"}},
		{[]string{`Negotiate, Basic realm="a \"quoted\" one"`}, "basic", map[string]string{"realm": `a "quoted" one`}},
		{[]string{`Bearer realm="a", realm="b"`}, "bearer", map[string]string{"realm": "a"}},
		{[]string{`Bearer realm="a"`, `Bearer realm="b"`}, "bearer", map[string]string{"realm": "a"}},
		{[]string{`Bearer realm="not closed`}, "bearer", map[string]string{"realm": "not closed"}},
		{[]string{`Basic`}, "basic", map[string]string{}},
		{[]string{`realm="no scheme"`}, "bearer", nil},
		{[]string{`"`, `,,,`, `=`, ` `, ``}, "bearer", nil},
		{[]string{`Digest realm="a"`}, "bearer", nil},
	} {
		if got := parseChallenges(test.values)[test.scheme]; !maps.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%q says of %s %v, want %v", test.values, test.scheme, got, test.want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/t",service="s"`)
	f.Add(`Basic realm="a\"", x = y, Negotiate`)
	f.Fuzz(func(_ *testing.T, value string) { parseChallenges([]string{value, value}) })
}
