package gate

import (
	"fmt"
	"regexp"
	"strings"
)

// maxGlob is the longest name of a repository or tag.
const maxGlob = 255

// glob matches names: "*" stands for any text without "/", "**" for any text, "?" for one character other than "/".
// "/**/" also covers a single "/". It is a regular expression of linear time, and most globs need none of it. Patterns of
// rights (access.Match) are others: there "?" and "/**/" mean themselves, so that one matcher would change what is stored.
type glob struct {
	source string
	prefix string // for "prefix**" and literal names
	rest   bool   // anything may follow prefix
	re     *regexp.Regexp
}

// repositoryGlob compiles a glob over full names of repositories; tagGlob one over tags.
func repositoryGlob(s string) (glob, error) {
	if strings.ToLower(s) != s {
		return glob{}, fmt.Errorf("%s matches nothing: names of repositories are lower case", quoted(s))
	}
	return newGlob(s, "abcdefghijklmnopqrstuvwxyz0123456789._-/*?")
}

func tagGlob(s string) (glob, error) {
	return newGlob(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*?")
}

func newGlob(s, letters string) (glob, error) {
	switch {
	case s == "" || len(s) > maxGlob:
		return glob{}, fmt.Errorf("a glob has 1 to %d characters", maxGlob)
	case strings.Trim(s, letters) != "":
		return glob{}, fmt.Errorf("%s is not a glob: besides what names are made of it may have *, ** and ?", quoted(s))
	case strings.Contains(s, "***") || strings.Contains(s, "//") || strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/"):
		return glob{}, fmt.Errorf("%s matches nothing: a name has neither empty parts nor ***", quoted(s))
	}
	g := glob{source: s}
	first := strings.IndexAny(s, "*?")
	switch {
	case first < 0:
		g.prefix = s
		return g, nil
	case s[first:] == "**":
		g.prefix, g.rest = s[:first], true
		return g, nil
	}
	e := regexp.QuoteMeta(s)
	e = strings.NewReplacer(`/\*\*/`, `/(?:.*/)?`, `\*\*`, `.*`, `\*`, `[^/]*`, `\?`, `[^/]`).Replace(e)
	re, err := regexp.Compile(`\A(?:` + e + `)\z`)
	if err != nil {
		return glob{}, fmt.Errorf("%s is not a glob", quoted(s))
	}
	g.re = re
	return g, nil
}

func (g *glob) match(name string) bool {
	switch {
	case g.re != nil:
		return g.re.MatchString(name)
	case g.rest:
		return strings.HasPrefix(name, g.prefix)
	}
	return g.prefix == name
}

func matchAny(globs []glob, name string) bool {
	for i := range globs {
		if globs[i].match(name) {
			return true
		}
	}
	return false
}
