package access

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string // names with spaces between them
	}{
		{"**", "a a/b a/b/c", ""},
		{"*", "a app", "a/b"},
		{"p/app", "p/app", "p/ap p/app2 q/app p/app/x xp/app"},
		{"p/*", "p/app p/x", "p p/a/b q/app pp/app"},
		{"p/**", "p/app p/a/b", "p pp/app q/p/app"},
		{"p/app-*", "p/app-web p/app-", "p/app p/app-a/b"},
		{"*/app", "p/app q/app", "app p/x/app"},
		{"p/**/base", "p/a/base p/a/b/base p//base", "p/base p/a/base/x"},
		{"**/base", "p/base p/q/base", "base p/database p/base/x"},
		{"p*/a**z", "p/az pp/abcz p/a/b/z", "q/az p/q/az p/a"},
		{"*a*/b", "a/b xax/b", "b x/b a/x/b"},
		{"", "", "a"},
		{"p/a.c", "p/a.c", "p/abc"},
		{"p/[a-z]", "p/[a-z]", "p/a"},
		{"p/\\*", "", "p/*"},
	} {
		for name := range strings.FieldsSeq(c.yes) {
			if !Match(c.pattern, name) {
				t.Errorf("%q does not cover %q", c.pattern, name)
			}
		}
		for name := range strings.FieldsSeq(c.no) {
			if Match(c.pattern, name) {
				t.Errorf("%q covers %q", c.pattern, name)
			}
		}
	}
	if !Match("", "") || Match(strings.Repeat("a", 256), strings.Repeat("a", 256)) {
		t.Error("the empty pattern covers nothing but nothing, and one that is too long nothing at all")
	}
}

func TestTouches(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{"**", true}, {"te**", true}, {"**x", true}, {"team/**", true}, {"team/app", true}, {"te*/app", true}, {"*/*", true}, {"**/app", true},
		{"team", false}, {"*", false}, {"teams/**", false}, {"tea/**", false}, {"x**", false}, {"teamx**", false}, {"", false}, {"registry:catalog", false},
	} {
		if got := touches(c.pattern, "team"); got != c.want {
			t.Errorf("touches(%q, team) = %v, want %v", c.pattern, got, c.want)
		}
	}
}

// No pattern makes it slow: the test would not end.
func TestMatchOfEvilPatterns(t *testing.T) {
	name := strings.Repeat("a", 127) + "/" + strings.Repeat("a", 127)
	for _, pattern := range []string{strings.Repeat("*a", 127) + "b", strings.Repeat("**a*a", 50) + "b", strings.Repeat("a", 127) + strings.Repeat("*", 127) + "b"} {
		if Match(pattern, name) {
			t.Errorf("%q covers %q", pattern, name)
		}
	}
	if !Match(strings.Repeat("**a", 84), name) {
		t.Error("84 double stars cover nothing")
	}
}

// expression is a pattern written another way.
func expression(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(`.*`)
			i++
		case pattern[i] == '*':
			b.WriteString(`[^/]*`)
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	b.WriteString(`)$`)
	return regexp.MustCompile(b.String())
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"**", "p/**", "*a*b/**", "a*/*b**c", "***", "**a*a**"} {
		f.Add(s, "p/app")
		f.Add(s, "aab/ab/c")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		for _, s := range []string{pattern, name} {
			if len(s) > 60 || strings.Trim(s, "abc/*._-") != "" {
				return
			}
		}
		if got, want := Match(pattern, name), expression(pattern).MatchString(name); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", pattern, name, got, want)
		}
		if rest := strings.TrimPrefix(name, "a/"); rest != name && rest != "" && Match(pattern, name) && !touches(pattern, "a") {
			t.Errorf("%q covers %q and touches no project a", pattern, name)
		}
	})
}

// Every pattern and name of a small alphabet, so that it is also checked without fuzzing.
func TestMatchAgainstExpression(t *testing.T) {
	words := func(alphabet string, most int) []string {
		all, last := []string{""}, []string{""}
		for range most {
			var next []string
			for _, w := range last {
				for _, c := range alphabet {
					next = append(next, w+string(c))
				}
			}
			all, last = append(all, next...), next
		}
		return all
	}
	names := words("a/b", 5)
	for _, pattern := range words("a/*", 5) {
		want := expression(pattern)
		for _, name := range names {
			if got := Match(pattern, name); got != want.MatchString(name) {
				t.Fatalf("Match(%q, %q) = %v", pattern, name, got)
			}
		}
	}
}
