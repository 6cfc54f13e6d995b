package gate

import (
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// reason puts a survey into words.
func (e *evaluation) reason(r *rule, s *survey) Reason {
	code, text := e.lacks(r, s)
	out := because(r.name, code, text)
	out.Fix = e.fix(r, code, e.in.Digest)
	return out
}

func (e *evaluation) lacks(r *rule, s *survey) (Code, phrase) {
	noun, wanted := r.noun(), e.p.wanted(r)
	by := verbatim("")
	if s.nearest != nil && s.nearest.Signer != nil {
		by = say(sByWhom, e.in.Registered.describe(s.nearest.Signer))
	}
	missing, invalid := NoSignature, NoValidSignature
	if r.attestation {
		missing, invalid = MissingAttestation, MissingAttestation
	}
	switch absent := e.unregistered(r); {
	case !absent.none():
		return NoKey, absent
	case len(s.counted) > 0 && rank(s.code) <= rank(UntrustedIdentity):
		return invalid, say(sSoFar, noun, wanted, min(len(s.counted), r.needs()-1), r.needs())
	case s.found == 0:
		return missing, say(sMissing, noun, wanted)
	case s.code == UntrustedIdentity:
		return s.code, say(sOfOthers, noun, wanted, s.found, by)
	case s.code == Revoked:
		return s.code, say(sRevoked, noun, by)
	case s.code == TlogMissing:
		return s.code, say(sTlogMissing, noun, by)
	case s.code == Expired:
		return s.code, say(sExpired, noun, by)
	case s.code == PredicateRejected && r.attestation:
		return s.code, say(sPredicate, noun, by)
	case s.code == PredicateRejected:
		return s.code, say(sClaim, noun, by)
	case s.code == VerifierError:
		return s.code, say(sUnchecked, noun, by)
	}
	return invalid, say(sNoneValid, noun, wanted, s.found)
}

// unregistered says that a rule cannot be satisfied at all, because who is wanted is not registered.
func (e *evaluation) unregistered(r *rule) phrase {
	var missing phrase
	left := 0
	for n, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			if absent := e.absent(&e.p.authorities[i]); !absent.none() {
				missing = absent
			} else {
				if n == 1 {
					left++
				}
				continue
			}
			if n == 0 {
				return missing
			}
		}
	}
	if left < r.count {
		return missing
	}
	return phrase{}
}

// absent says that an authority can vouch for nothing, because it or its trust root is not there.
func (e *evaluation) absent(a *authority) phrase {
	switch {
	case a.registered && !e.in.Registered.live:
		return say(e.in.Registered.nobody(), projectOf(e.in.Repository))
	case a.key != nil && a.key.ref != "" && !e.in.Registered.has(a.key.ref, e.p.project == ""):
		return say(sNoKey, clip(a.key.ref, 64))
	}
	if root := e.in.Registered.absentRoot(a); root != "" {
		return say(sNoRoot, clip(root, 64))
	}
	return phrase{}
}

// absentRoot is the trust root that an authority's identities need, if none of them has one that is there; else "".
func (r *Registered) absentRoot(a *authority) string {
	root := ""
	for i := range a.identities {
		if root = a.identities[i].root; slices.Contains(r.roots, root) {
			return ""
		}
	}
	return root
}

// nobody says why a snapshot has no signer that counts.
func (r *Registered) nobody() sentence {
	if len(r.keys)+len(r.identities) > 0 {
		return sAllRevoked
	}
	return sNobody
}

func (r *Registered) has(name string, system bool) bool {
	_, ok := r.named(name, system)
	return ok
}

func projectOf(repository string) string {
	project, _, _ := strings.Cut(repository, "/")
	return project
}

// noun is what a rule asks for.
func (r *rule) noun() phrase {
	if !r.attestation {
		return say(sSignature)
	}
	kind := sAttestation
	if !slices.ContainsFunc(r.types, func(t string) bool { return t != "spdx" && t != "spdxjson" && t != "cyclonedx" }) {
		kind = sSBOM
	}
	types := make([]phrase, len(r.types))
	for i, t := range r.types {
		types[i] = verbatim(t)
	}
	return say(kind, joined(sOrTypes, types...))
}

// wanted is from whom a rule asks it.
func (p *Policy) wanted(r *rule) phrase {
	names := func(members []int) string {
		list := make([]string, len(members))
		for i, a := range members {
			list[i] = p.authorities[a].name
		}
		return strings.Join(list, ", ")
	}
	if p.name == BaselineName {
		return say(sAnybodyRegistered)
	}
	var parts []phrase
	if len(r.all) > 0 {
		parts = append(parts, say(sNames, names(r.all)))
	}
	switch {
	case len(r.any) == 1:
		parts = append(parts, say(sNames, names(r.any)))
	case r.count == 1:
		parts = append(parts, say(sAnyOf, names(r.any)))
	case r.count > 1:
		parts = append(parts, say(sCountOf, r.count, names(r.any)))
	}
	return joined(sAnd, parts...)
}

// describe names a signer, on one line and not at length: what stands in a certificate is written by strangers.
func (r *Registered) describe(s *core.Signer) phrase {
	if s.Key == "" {
		return verbatim(printable(clip(s.Subject, 100)) + " (" + printable(clip(s.Issuer, 60)) + ")")
	}
	for _, k := range r.keys[s.Key] {
		if k.Name != "" {
			return say(sSigner, printable(clip(k.Name, 64)))
		}
	}
	return say(sSigner, short(s.Key))
}

// printable replaces what could end a line or move a cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// short is a digest as people compare them.
func short(digest string) string {
	if algorithm, hex, ok := strings.Cut(digest, ":"); ok && len(hex) > 12 {
		return printable(algorithm + ":" + hex[:12])
	}
	return printable(clip(digest, 20))
}
