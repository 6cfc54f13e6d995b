package gate

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of regular expressions. RE2 is linear in the text, and these make the factor small.
const (
	maxPattern  = 512
	maxProgram  = 500
	maxCELRegex = 256
)

// anchored compiles a pattern so that it covers the whole text.
func anchored(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || len(pattern) > maxPattern {
		return nil, fmt.Errorf("a regular expression has 1 to %d characters", maxPattern)
	}
	// On its own first: "a)|(b" must not break out of the group.
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, errors.New("this regular expression (RE2) does not compile: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > maxProgram {
		return nil, errors.New("this regular expression is too large: write it without long repetitions")
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// strangers are people and workflows that nobody means. A pattern that lets one of them in lets anybody in.
func strangers() []string {
	return []string{
		"", "x", "stranger", "stranger@stranger.invalid", "stranger@gmail.com", "stranger@outlook.com", "stranger@qq.com",
		"https://stranger.invalid/x", "spiffe://stranger.invalid/x", "ssh://stranger.invalid/x",
		"https://github.com/stranger/x/.github/workflows/release.yml@refs/heads/main",
		"https://github.com/stranger/x/.github/workflows/release.yml@refs/tags/v1",
		"https://gitlab.com/stranger/x//.gitlab-ci.yml@refs/heads/main",
	}
}

// subjectPattern compiles a pattern of identities and refuses those that do not say whose they are: it must begin with a
// host (and, where many share the host, with the owner), end with "@" and a domain, or have no open part at all.
func subjectPattern(pattern string) (*regexp.Regexp, error) {
	re, err := anchored(pattern)
	if err != nil {
		return nil, err
	}
	for _, s := range strangers() {
		if re.MatchString(s) {
			return nil, fmt.Errorf("this lets anybody in: it also covers %q", s)
		}
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	for _, branch := range branches(tree.Simplify()) {
		if !bound(branch) {
			return nil, errors.New("this does not say whose identities they are: begin with scheme, host and owner (https://github\\.com/acme/.*) " +
				"or end with a domain of your own (.*@acme\\.com)")
		}
	}
	return re, nil
}

func branches(re *syntax.Regexp) []*syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op == syntax.OpAlternate {
		return re.Sub
	}
	return []*syntax.Regexp{re}
}

func bound(re *syntax.Regexp) bool {
	if listed(re) {
		return true
	}
	prefix, _ := edge(re, false)
	suffix, _ := edge(re, true)
	return owned(prefix) || domain(suffix)
}

// listed reports whether re has no open part: all that it matches is written down.
func listed(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return true
	case syntax.OpCharClass: // a|b is read as [ab]
		n := 0
		for i := 0; i+1 < len(re.Rune); i += 2 {
			n += int(re.Rune[i+1]-re.Rune[i]) + 1
		}
		return n <= 10
	case syntax.OpConcat, syntax.OpAlternate, syntax.OpCapture, syntax.OpQuest:
		for _, sub := range re.Sub {
			if !listed(sub) {
				return false
			}
		}
		return true
	}
	return false
}

// edge is the text with which everything that re matches begins (or, backwards, ends), and whether that is all of it.
func edge(re *syntax.Regexp, backwards bool) (string, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return strings.ToLower(string(re.Rune)), true
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return "", true
	case syntax.OpCapture:
		return edge(re.Sub[0], backwards)
	case syntax.OpConcat:
		var all string
		subs := slices.Clone(re.Sub)
		if backwards {
			slices.Reverse(subs)
		}
		for _, sub := range subs {
			s, whole := edge(sub, backwards)
			if backwards {
				all = s + all
			} else {
				all += s
			}
			if !whole {
				return all, false
			}
		}
		return all, true
	}
	return "", false
}

// owned reports whether a prefix settles the host of a URI, and the owner on hosts where everybody has a place.
func owned(prefix string) bool {
	_, rest, ok := strings.Cut(prefix, "://")
	host, path, more := strings.Cut(rest, "/")
	if !ok || !more || host == "" {
		return false
	}
	switch host {
	case "github.com", "www.github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "dev.azure.com", "gitea.com", "gitee.com":
		owner, _, settled := strings.Cut(path, "/")
		return settled && owner != ""
	}
	return true
}

// domain reports whether a suffix settles the domain of an e-mail address, and it is not one where everybody has one.
func domain(suffix string) bool {
	_, host, ok := strings.Cut(suffix, "@")
	switch host {
	case "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "proton.me", "protonmail.com",
		"gmx.de", "gmx.net", "web.de", "qq.com", "163.com", "126.com", "users.noreply.github.com":
		return false
	}
	return ok && strings.Contains(host, ".") && !strings.HasPrefix(host, ".")
}
