package gate

import "strings"

// Summary is a policy in a line of a list.
type Summary struct {
	Name     string    `json:"name"`
	Project  string    `json:"project,omitempty"` // empty: of the hub
	Mode     Mode      `json:"mode"`
	Priority int       `json:"priority"`
	Index    IndexRule `json:"index"`
	Scope    string    `json:"scope"`
	Wants    string    `json:"wants"`
	Exempt   int       `json:"exempt"` // principals and digests that pass anyway
}

// Summary describes the policy in a few words.
func (p *Policy) Summary() Summary {
	var scope []string
	for i := range p.repositories {
		scope = append(scope, p.repositories[i].source)
	}
	for i := range p.except {
		scope = append(scope, "not "+p.except[i].source)
	}
	return Summary{Name: p.name, Project: p.project, Mode: p.mode, Priority: p.priority, Index: p.index,
		Scope: strings.Join(scope, ", "), Wants: p.wants().in(English), Exempt: len(p.principals) + len(p.digests)}
}

func (p *Policy) wants() phrase {
	if !p.sound {
		return say(sNothingPasses)
	}
	var parts []phrase
	for i := range p.rules {
		r := &p.rules[i]
		age, conditions := verbatim(""), verbatim("")
		if r.maxAge > 0 {
			age = say(sOfTheLast, r.maxAge.String())
		}
		if r.documents() {
			conditions = say(sConditions)
		}
		parts = append(parts, say(sWants, r.noun(), p.wanted(r), age, conditions))
	}
	if p.any && len(parts) > 0 {
		parts = []phrase{joined(sEither, parts...)} // and what scans say all the same
	}
	return joined(sBoth, append(parts, p.wantsScans()...)...)
}
