package worker

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// maxSentence bounds what a child says of its failure.
const maxSentence = 1 << 10

// sentence is what a child says, made fit for logs and answers: one line, no longer than it needs to be, and without the
// credential of the image in any form, whoever put it there.
func sentence(s, authorization string) string {
	for _, secret := range secrets(authorization) {
		s = strings.ReplaceAll(s, secret, "[removed]")
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if len(s) > maxSentence {
		s = strings.ToValidUTF8(s[:maxSentence], "") + "..."
	}
	return s
}

// secrets are the forms in which a credential may show up.
func secrets(authorization string) []string {
	_, value, _ := strings.Cut(authorization, " ")
	all := []string{value}
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
		_, password, _ := strings.Cut(string(plain), ":")
		all = append(all, string(plain), password)
	}
	var long []string
	for _, s := range all {
		if len(s) >= 4 { // shorter ones are words
			long = append(long, s)
		}
	}
	return long
}
