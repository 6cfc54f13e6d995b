package access

import (
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// Match reports whether a grant's pattern covers a name: "**" stands for any text, "*" for any text without "/", and
// everything else for itself. There is no other special character and no way to escape these.
//
//	**          everything
//	team/*      team/app, not team/app/debug
//	team/**     team/app and team/app/debug, not team
//	team/app-*  team/app-web
//
// Patterns of tokens are matched with the whole name of a repository ("project/path"), those of a robot with what comes
// after its own project. Match takes time proportional to the product of the lengths at worst, and allocates nothing.
// A pattern longer than any name covers nothing.
func Match(pattern, name string) bool {
	if len(pattern) > registry.MaxNameLength {
		return false
	}
	// What comes before the first star is compared as it is, and most patterns are settled by that.
	star := strings.IndexByte(pattern, '*')
	if star < 0 {
		return pattern == name
	}
	if !strings.HasPrefix(name, pattern[:star]) {
		return false
	}
	pattern, name = pattern[star:], name[star:]
	return pattern == "**" || walk(pattern, name)
}

// walk follows all ways through the pattern at once, so that no pattern makes it slow: at[i] says that the name so far
// can be covered by the first i bytes of the pattern.
func walk(pattern, name string) bool {
	var at [registry.MaxNameLength + 1]bool
	at[0] = true
	skip(&at, pattern)
	for i := range len(name) {
		var next [registry.MaxNameLength + 1]bool
		alive := false
		for p := range len(pattern) {
			switch {
			case !at[p]:
			case strings.HasPrefix(pattern[p:], "**"), pattern[p] == '*' && name[i] != '/':
				next[p], alive = true, true
			case pattern[p] != '*' && pattern[p] == name[i]:
				next[p+1], alive = true, true
			}
		}
		if !alive {
			return false
		}
		at = next
		skip(&at, pattern)
	}
	return at[len(pattern)]
}

// skip lets stars cover nothing.
func skip(at *[registry.MaxNameLength + 1]bool, pattern string) {
	for p := range len(pattern) {
		switch {
		case !at[p]:
		case strings.HasPrefix(pattern[p:], "**"):
			at[p+2] = true
		case pattern[p] == '*':
			at[p+1] = true
		}
	}
}

// touches reports whether a pattern could match a repository of a project.
func touches(pattern, project string) bool {
	first, _, more := strings.Cut(pattern, "/")
	if i := strings.Index(first, "**"); i >= 0 {
		return Match(first[:i+2], project)
	}
	return more && Match(first, project)
}
