package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// reason puts a survey into words.
func (e *evaluation) reason(r *rule, s *survey) Reason {
	noun, wanted := r.noun(), e.p.wanted(r)
	by := ""
	if s.nearest != nil && s.nearest.Signer != nil {
		by = " by " + e.in.Registered.describe(s.nearest.Signer)
	}
	out := Reason{Rule: r.name, Code: s.code}
	switch missing := e.unregistered(r); {
	case missing != "":
		out.Code, out.Text = NoKey, missing
	case len(s.counted) > 0 && rank(s.code) <= rank(UntrustedIdentity):
		out.Code = NoValidSignature
		if r.attestation {
			out.Code = MissingAttestation
		}
		out.Text = fmt.Sprintf("%s wanted by %s, %d of %d signers so far", noun, wanted, min(len(s.counted), r.needs()-1), r.needs())
	case s.found == 0:
		out.Code = NoSignature
		if r.attestation {
			out.Code = MissingAttestation
		}
		out.Text = fmt.Sprintf("no %s by %s", noun, wanted)
	case s.code == UntrustedIdentity:
		out.Text = fmt.Sprintf("no %s by %s (%d found, the nearest%s)", noun, wanted, s.found, by)
	case s.code == Revoked:
		out.Text = fmt.Sprintf("the %s%s does not count, since that signer is revoked", noun, by)
	case s.code == TlogMissing:
		out.Text = fmt.Sprintf("the %s%s lacks the log entry or time that the policy wants", noun, by)
	case s.code == Expired:
		out.Text = fmt.Sprintf("the %s%s is too old, or was made when its key was not valid", noun, by)
	case s.code == PredicateRejected && r.attestation:
		out.Text = fmt.Sprintf("the %s%s does not say what the policy wants", noun, by)
	case s.code == PredicateRejected:
		out.Text = fmt.Sprintf("the %s%s lacks the signed annotation or repository that the policy wants", noun, by)
	case s.code == VerifierError:
		out.Text = fmt.Sprintf("the %s%s could not be checked", noun, by)
	default:
		out.Code = NoValidSignature
		if r.attestation {
			out.Code = MissingAttestation
		}
		out.Text = fmt.Sprintf("no valid %s by %s (%d found, 0 valid)", noun, wanted, s.found)
	}
	out.Fix = e.fix(r, out.Code, e.in.Digest)
	return out
}

// unregistered says that a rule cannot be satisfied at all, because who is wanted is not registered.
func (e *evaluation) unregistered(r *rule) string {
	missing, left := "", 0
	for n, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			a := &e.p.authorities[i]
			switch {
			case a.registered && !e.in.Registered.live:
				missing = e.in.Registered.nobody() + " for project " + projectOf(e.in.Repository)
			case a.key != nil && a.key.ref != "" && !e.in.Registered.has(a.key.ref, e.p.project == ""):
				missing = "no key " + clip(a.key.ref, 64) + " is registered"
			default:
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
	return ""
}

// nobody says why a snapshot has no signer that counts.
func (r *Registered) nobody() string {
	if len(r.keys)+len(r.identities) > 0 {
		return "every key and identity is revoked that is registered"
	}
	return "no key or identity is registered"
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
func (r *rule) noun() string {
	if !r.attestation {
		return "signature"
	}
	kind := "attestation"
	if !slices.ContainsFunc(r.types, func(t string) bool { return t != "spdx" && t != "spdxjson" && t != "cyclonedx" }) {
		kind = "SBOM attestation"
	}
	return kind + " (" + strings.Join(r.types, " or ") + ")"
}

// wanted is from whom a rule asks it.
func (p *Policy) wanted(r *rule) string {
	names := func(members []int) string {
		list := make([]string, len(members))
		for i, a := range members {
			list[i] = p.authorities[a].name
		}
		return strings.Join(list, ", ")
	}
	var parts []string
	if len(r.all) > 0 {
		parts = append(parts, names(r.all))
	}
	switch {
	case len(r.any) == 1:
		parts = append(parts, names(r.any))
	case r.count == 1:
		parts = append(parts, "any of ["+names(r.any)+"]")
	case r.count > 1:
		parts = append(parts, fmt.Sprintf("%d of [%s]", r.count, names(r.any)))
	}
	return strings.Join(parts, " and ")
}

// describe names a signer, on one line and not at length: what stands in a certificate is written by strangers.
func (r *Registered) describe(s *core.Signer) string {
	if s.Key == "" {
		return printable(clip(s.Subject, 100)) + " (" + printable(clip(s.Issuer, 60)) + ")"
	}
	for _, k := range r.keys[s.Key] {
		if k.Name != "" {
			return "key " + printable(clip(k.Name, 64))
		}
	}
	return "key " + short(s.Key)
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
