package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// globbed is what a glob means, written down a second time: * and ? stay within a part of a name, ** does not, and /**/ is
// also a single slash.
func globbed(glob, name string) bool {
	switch {
	case glob == "":
		return name == ""
	case strings.HasPrefix(glob, "/**/"):
		for i := range name {
			if i > 0 && name[i] == '/' && name[0] == '/' && globbed(glob[4:], name[i+1:]) {
				return true
			}
		}
		return strings.HasPrefix(name, "/") && globbed(glob[4:], name[1:])
	case strings.HasPrefix(glob, "**"):
		return globbed(glob[2:], name) || name != "" && globbed(glob, name[1:])
	case glob[0] == '*':
		return globbed(glob[1:], name) || name != "" && name[0] != '/' && globbed(glob, name[1:])
	}
	return name != "" && (glob[0] == name[0] || glob[0] == '?' && name[0] != '/') && globbed(glob[1:], name[1:])
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"prod/**", "prod/app"}, {"prod/*/app", "prod/a/app"}, {"**/app", "a/b/app"}, {"a/**/b", "a/b"}, {"a?c*", "abcd"}, {"prod", "prod2"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, source, name string) {
		g, err := repositoryGlob(source)
		if err != nil || len(source) > 12 || len(name) > 24 || strings.Contains(name, "\n") {
			return // the second one takes long, and no name has a line break
		}
		if got, want := g.match(name), globbed(source, name); got != want {
			t.Errorf("%q and %q: %v, want %v", source, name, got, want)
		}
	})
}

// FuzzSubjectPattern: a pattern that is taken covers whole subjects, and nobody that is not meant.
func FuzzSubjectPattern(f *testing.F) {
	const workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	for _, p := range []string{`https://github\.com/acme/.+`, `.*@acme\.example`, `a)|(b`, `(?i)https://git\.acme\.example/.*`, `https://.*`, `.*`, `^x$|y`} {
		f.Add(p, workflow)
	}
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		re, err := subjectPattern(pattern)
		if err != nil {
			return
		}
		if at := re.FindStringIndex(subject); at != nil && (at[0] != 0 || at[1] != len(subject)) {
			t.Errorf("%q covers %v of %q", pattern, at, subject)
		}
		for _, s := range strangers() {
			if re.MatchString(s) {
				t.Errorf("%q lets %q in", pattern, s)
			}
		}
	})
}

// FuzzField: a path leads to one value, whatever the document; a rule of it never holds for what is not there.
func FuzzField(f *testing.F) {
	f.Add("$.a.b[0]", "x", []byte(`{"a":{"b":["x"]}}`))
	f.Add(`$["c.d"]`, ".*", []byte(`{"c.d":"y"}`))
	f.Add("$[0][1]", "1", []byte(`[[1,"1"]]`))
	f.Fuzz(func(t *testing.T, path, matches string, document []byte) {
		steps, err := parsePath(path)
		if err != nil {
			return
		}
		if len(steps) == 0 || len(steps) > maxSteps {
			t.Errorf("%q: %d steps", path, len(steps))
		}
		var v any
		if json.Unmarshal(document, &v) != nil {
			return
		}
		_, there := find(v, steps)
		if re, err := anchored(matches); err == nil {
			if r := (fieldRule{steps: steps, matches: re}); r.holds(v) && !there {
				t.Errorf("%q holds of what %s does not have", path, document)
			}
		}
		if r := (fieldRule{steps: steps}); r.holds(v) {
			t.Errorf("%q holds without anything that is wanted", path)
		}
	})
}

// FuzzExpression: what compiles ends, in its time and with one of the errors that are known.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"predicate.n == 1", "size(predicate.list) > 0", "predicate.list.all(x, predicate.list.all(y, x == y))", "now < timestamp('2027-01-01T00:00:00Z')",
		"image.repository.matches('^prod/')", "signer.key == predicate.key", "statement.subject[0].digest.sha256 == 'x'"} {
		f.Add(s, []byte(`{"n":1,"list":[1,2,3],"key":"k"}`))
	}
	compiler := expressions{}
	f.Fuzz(func(t *testing.T, source string, predicate []byte) {
		var v any
		if json.Unmarshal(predicate, &v) != nil || len(predicate) > 1<<12 {
			return
		}
		e, err := compiler.compile(source)
		if err != nil {
			return
		}
		err = e.holds(map[string]any{"predicate": v, "statement": map[string]any{"predicate": v}, "image": map[string]string{"repository": "prod/app"},
			"signer": map[string]any{"key": "k"}, "now": time.Now()})
		if err != nil && !errors.Is(err, errRejected) && !errors.Is(err, errSlow) && !strings.HasPrefix(err.Error(), "the expression ") {
			t.Errorf("%q: %v", source, err)
		}
	})
}
