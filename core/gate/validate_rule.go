package gate

import (
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

func (v *validator) rule(raw *rawRule, attestation bool) {
	r := rule{name: raw.name.s, attestation: attestation}
	if !simple(r.name) || attestation && slices.Contains([]string{"signature", vulnerabilitiesName, complianceName}, r.name) {
		v.add(raw.place, "an attestation rule needs a name made of a-z, 0-9 and -, other than signature, vulnerabilities and compliance")
	}
	for i := range v.p.rules {
		if v.p.rules[i].name == r.name {
			v.add(raw.place, "two rules are called %s", r.name)
		}
	}
	r.maxAge = v.duration(raw.maxAge)
	v.require(&r, raw)
	v.timed(&r, raw)
	if attestation {
		v.types(&r, raw)
		v.conditions(&r, raw)
	}
	r.bind = binding(v.oneOf(raw.bind, string(bindOff), string(bindOff), string(bindLegacy), string(bindAnnotation)))
	if r.bind == bindLegacy && !v.p.formats[core.FormatLegacySignature] {
		v.add(raw.bind.place, "legacy-claim is made by legacy signatures, which formats does not accept")
	}
	for name, value := range raw.annotations {
		if r.annotations == nil {
			r.annotations = map[string]string{}
		}
		r.annotations[name] = value.s
	}
	v.p.rules = append(v.p.rules, r)
}

// require compiles from whom. Nobody stands in allOf and anyOf at once, since one signer is one.
func (v *validator) require(r *rule, raw *rawRule) {
	if raw.require == nil {
		v.add(raw.place, "%s does not say who must have signed: give it require with allOf or anyOf", r.name)
		return
	}
	q, seen := raw.require, map[int]bool{}
	r.all, r.any = v.members(q.all, seen), v.members(q.any, seen)
	if q.hasAny {
		r.count = 1
		if q.count.set {
			r.count = q.count.n
		}
		if r.count > len(q.any) {
			at := q.place
			if q.count.set {
				at = q.count.place
			}
			v.add(at, "anyOf wants %d of %d authorities", r.count, len(q.any))
		}
	}
}

func (v *validator) members(list []text, seen map[int]bool) []int {
	var members []int
	for _, t := range list {
		i := v.authority(t)
		switch {
		case i < 0:
		case seen[i]:
			v.add(t.place, "authority %s stands here twice: it counts once", t.s)
		default:
			seen[i] = true
			members = append(members, i)
		}
	}
	return members
}

// authority finds one by its name, or reports it.
func (v *validator) authority(t text) int {
	for i := range v.p.authorities {
		if t.set && v.p.authorities[i].name == t.s {
			return i
		}
	}
	if t.set {
		v.add(t.place, "there is no authority %s in this policy", quoted(t.s))
	}
	return -1
}

// timed refuses an age where nobody says how old something is.
func (v *validator) timed(r *rule, raw *rawRule) {
	if r.maxAge == 0 {
		return
	}
	for _, members := range [][]int{r.all, r.any} {
		for _, i := range members {
			if a := &v.p.authorities[i]; !a.timed() {
				v.add(raw.maxAge.place, "maxAge needs a time that can be believed, and a signature by %s has none: "+
					"give it tlog with mode require, or timestamps", a.name)
			}
		}
	}
}

func (v *validator) types(r *rule, raw *rawRule) {
	if len(raw.types) == 0 {
		v.add(raw.place, "%s does not say which predicateTypes it wants", r.name)
	}
	for _, t := range raw.types {
		if !t.set {
			continue
		}
		switch {
		case t.s == "signature" || t.s == core.PredicateSignature:
			v.add(t.place, "a signature is no attestation: use the block signature")
		case !core.KnownPredicate(t.s) || len(t.s) > maxText:
			v.add(t.place, "%s is not a predicate type: write a URI or one of %s", quoted(t.s), strings.Join(core.PredicateAliases(), ", "))
		}
		r.types = append(r.types, t.s)
	}
}

func (v *validator) conditions(r *rule, raw *rawRule) {
	for i := range raw.fields {
		f := &raw.fields[i]
		steps, err := parsePath(f.path.s)
		if err != nil {
			v.add(f.place, "%s", err)
		}
		rule := fieldRule{source: f.path.s, steps: steps}
		if f.matches.set == f.equals.set {
			v.add(f.place, "a field has either matches or equals")
		}
		if f.matches.set {
			if rule.matches, err = anchored(f.matches.s); err != nil {
				v.add(f.matches.place, "%s", err)
			}
		}
		rule.equals = f.equals.v
		r.fields = append(r.fields, rule)
	}
	if !raw.cel.set {
		return
	}
	if len(raw.cel.s) > maxExpression || strings.TrimSpace(raw.cel.s) == "" {
		v.add(raw.cel.place, "cel has 1 to %d characters", maxExpression)
		return
	}
	e, err := v.cel.compile(raw.cel.s)
	if err != nil {
		v.add(raw.cel.place, "%s", err)
	}
	r.cel = e
}
