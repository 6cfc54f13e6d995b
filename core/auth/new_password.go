package auth

import (
	_ "embed"
	"strings"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
)

//go:embed breached.txt
var breachedText string

func breachedSet() map[string]struct{} {
	set := map[string]struct{}{}
	for line := range strings.Lines(breachedText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			set[strings.ToLower(line)] = struct{}{}
		}
	}
	return set
}

// CheckNew refuses a new password that is too short or long, that everybody tries first, or that is hardly more than
// the user's name. The error names the field pointer and holds nothing of the password.
func (p *Passwords) CheckNew(pointer, username, password string) error {
	if !utf8.ValidString(password) || strings.ContainsRune(password, 0) {
		return core.Invalid(pointer, "the password is not valid UTF-8 text")
	}
	if n := utf8.RuneCountInString(password); n < MinPassword || n > MaxPassword {
		return core.Invalid(pointer, "the password has %d characters; it needs %d to %d", n, MinPassword, MaxPassword)
	}
	folded := strings.ToLower(strings.TrimSpace(password))
	username = strings.ToLower(username)
	if username != "" && strings.Trim(strings.ReplaceAll(folded, username, ""), "0123456789!.,_-@# ") == "" && strings.Contains(folded, username) {
		return core.Invalid(pointer, "the password is hardly more than the user name; take another one, for instance four words")
	}
	if _, ok := p.breached[folded]; ok || monotonous(folded) {
		return core.Invalid(pointer, "this password is one of those that are tried first; take another one, for instance four words")
	}
	return nil
}

// monotonous reports whether a text is made of fewer than four different characters, or of neighbours in a row: no list
// can hold all of these.
func monotonous(s string) bool {
	seen := map[rune]bool{}
	steps, up, down := 0, 0, 0
	last := rune(-1)
	for _, r := range s {
		seen[r] = true
		if last >= 0 {
			steps++
			switch r - last {
			case 1, -9: // 9 is followed by 0
				up++
			case -1, 9:
				down++
			}
		}
		last = r
	}
	return len(seen) < 4 || up == steps || down == steps
}
