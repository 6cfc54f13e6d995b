package trust

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quoted makes a stranger's text fit to be shown: no control characters, and not too long.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// plain makes the text of a foreign error, which may quote a stranger's, fit for Evidence.Problem.
func plain(err error) string {
	const most = 300
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, err.Error())
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}

// shortened makes signed text that is only shown fit for it, cut between characters.
func shortened(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) <= maxName {
		return s
	}
	cut := maxName
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
