package gate

import (
	"fmt"
	"strings"
)

// Language is one that refusals are explained in.
type Language int8

// The languages. Clients are told English, whatever they ask for.
const (
	English Language = iota
	Chinese
)

// phrase is a sentence, or a part of one, before it is said in a language: its place in the catalogue (sentences.go) and
// what stands in it, other phrases among that.
type phrase struct {
	key  sentence
	args []any
}

func say(key sentence, args ...any) phrase { return phrase{key, args} }

// verbatim is what is the same in every language: a name, a list of names.
func verbatim(s string) phrase { return phrase{sVerbatim, []any{s}} }

// joined is phrases one behind the other, with what the catalogue has between them.
func joined(between sentence, parts ...phrase) phrase {
	if len(parts) == 1 {
		return parts[0]
	}
	p := phrase{key: between}
	for _, x := range parts {
		p.args = append(p.args, x)
	}
	return p
}

func (p phrase) none() bool { return p.key == sNone }

// in says it in a language.
func (p phrase) in(l Language) string {
	text := p.key.in(l)
	args := make([]any, len(p.args))
	words := make([]string, len(p.args))
	for i, a := range p.args {
		if x, ok := a.(phrase); ok {
			a = x.in(l)
		}
		args[i] = a
		words[i] = fmt.Sprint(a)
	}
	switch {
	case p.key.joins():
		return strings.Join(words, text)
	case len(args) == 0:
		return text
	}
	return fmt.Sprintf(text, args...)
}

// because makes a reason.
func because(rule string, code Code, p phrase) Reason {
	return Reason{Rule: rule, Code: code, Text: p.in(English), said: p}
}

// In is Text in a language. A reason that came over the network is said by its code.
func (r *Reason) In(l Language) string {
	switch {
	case l == English:
		return r.Text
	case r.said.none():
		return r.Code.In(l)
	}
	return r.said.in(l)
}

// WantsIn is Wants in a language; "" if it is not known in that one.
func (x *PolicyExplanation) WantsIn(l Language) string {
	if l == English {
		return x.Wants
	}
	return x.wants.in(l)
}

// SignerIn is Signer in a language.
func (f *Finding) SignerIn(l Language) string {
	if l == English || f.signer.none() {
		return f.Signer
	}
	return f.signer.in(l)
}

// In is Text in a language. What a verifier said of a stranger's bytes is in English in all of them; detail is that, if it
// is not in Text already.
func (f *Finding) In(l Language) (text, detail string) {
	switch {
	case l == English || f.Counts:
		return f.Text, ""
	case !f.said.none():
		return f.said.in(l), ""
	}
	return say(sUnverified).in(l), f.Text
}
