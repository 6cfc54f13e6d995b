package gate

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/sbom"
)

// OpenVEX (github.com/openvex/spec), as a signed predicate: what somebody says of vulnerabilities in an image. Only two of
// its four words let anything through: not_affected, if it says why, and fixed.

// Bounds of one document; one that is beyond them cannot be read.
const (
	maxVEXStatements = 10_000
	maxVEXNames      = 64  // of a vulnerability: its name and aliases
	maxVEXProducts   = 256 // of a statement, and of subcomponents of one
)

// vex is what is said of an image by those whom a rule believes.
type vex struct {
	statements []vexStatement
	next       time.Time // when it may be otherwise without anything being changed
	unread     *core.Evidence
}

// vexStatement is one statement that is about the image.
type vexStatement struct {
	names []string // of the vulnerability, folded
	parts []*core.Package
	whole bool // about the image as a whole, not of parts
	lets  bool
	at    time.Time
	until time.Time
	by    *core.Signer
}

// vex reads all that rule r believes about an image. If one document cannot be read nothing is let through: it may be the one
// that takes back what another says.
func (e *evaluation) vex(r *rule, i *scannedImage) *vex {
	all := &vex{}
	for _, v := range i.views {
		looked := map[int]int{}
		for _, c := range e.candidates(r, v) {
			if looked[c.authority]++; looked[c.authority] > e.p.statements {
				continue
			}
			all.next = sooner(all.next, c.until)
			list, err := e.vexOf(&c, v.digest, i.digest)
			if err != nil {
				e.fault = errors.Join(e.fault, err)
				return &vex{next: all.next, unread: c.copies[0]}
			}
			for _, s := range list {
				s.until, s.by = c.until, c.copies[0].Signer
				if s.at.After(e.now.Add(skew)) { // nobody can know yet
					all.next = sooner(all.next, s.at.Add(-skew))
					continue
				}
				all.statements = append(all.statements, s)
			}
		}
	}
	return all
}

// vexOf are the statements of one document that are about an image. subject is the digest that was signed: the image's, or
// that of an index that lists it.
func (e *evaluation) vexOf(c *candidate, subject, image string) ([]vexStatement, error) {
	predicate, err := e.predicate(c, subject)
	if err != nil {
		return nil, err
	}
	return parseVEX(predicate, func(product map[string]any) bool { return e.means(product, subject, image) })
}

// means reports whether a product is the image: by its digest, or by an OCI package URL that names its repository. A
// statement about any other product says nothing about this one, whoever made it and wherever it is attached.
func (e *evaluation) means(product map[string]any, digests ...string) bool {
	for algorithm, hex := range object(product["hashes"]) {
		if s, ok := hex.(string); ok && slices.Contains(digests, strings.ReplaceAll(algorithm, "-", "")+":"+s) {
			return true
		}
	}
	for _, id := range []string{str(product["@id"]), str(object(product["identifiers"])["purl"])} {
		if slices.ContainsFunc(digests, func(d string) bool { return id == d || strings.HasSuffix(id, "@"+d) && !strings.HasPrefix(id, "pkg:") }) {
			return true
		}
		p, err := sbom.ParsePURL(id)
		if err != nil || p.Type != "oci" {
			continue
		}
		switch {
		case slices.Contains(digests, p.Version):
			return true
		case p.Version == "" && p.Name == e.in.Repository[strings.LastIndex(e.in.Repository, "/")+1:]:
			if where := qualifier(p.Rest, "repository_url"); where == "" || e.here(where) {
				return true
			}
		}
	}
	return false
}

// lets reports whether what was said last of a finding lets it through, and until when. Of two statements of the same moment
// the one counts that does not.
func (x *vex) lets(f *found) leave {
	var newest time.Time
	l, any := leave{}, false
	for i := range x.statements {
		st := &x.statements[i]
		if any && st.at.Before(newest) || !slices.Contains(st.names, folded(f.ID)) || !st.whole && !slices.ContainsFunc(st.parts, f.in) {
			continue
		}
		one := leave{span: span{st.lets, st.until}, by: PassVEX, signer: st.by}
		switch {
		case !any || st.at.After(newest):
			l, newest, any = one, st.at, true
		case !st.lets || !l.ok:
			l = leave{}
		default:
			l = l.or(one)
		}
	}
	return l
}

var errVEX = errors.New("a VEX document cannot be read")

// parseVEX reads a document. ours reports whether a product is the image in question.
func parseVEX(predicate any, ours func(product map[string]any) bool) (list []vexStatement, err error) {
	doc := object(predicate)
	statements, ok := doc["statements"].([]any)
	if !ok || len(statements) > maxVEXStatements {
		return nil, errVEX
	}
	for _, raw := range statements {
		st, about, err := parseVEXStatement(object(raw), str(doc["timestamp"]), ours)
		if err != nil {
			return nil, err
		}
		if about {
			list = append(list, st)
		}
	}
	return list, nil
}

func parseVEXStatement(raw map[string]any, timestamp string, ours func(map[string]any) bool) (st vexStatement, about bool, err error) {
	if st.names, err = vexNames(raw["vulnerability"]); err != nil {
		return st, false, err
	}
	if own := str(raw["timestamp"]); own != "" {
		timestamp = own
	}
	if st.at, err = time.Parse(time.RFC3339, timestamp); err != nil {
		return st, false, errVEX
	}
	switch status := str(raw["status"]); status {
	case "fixed":
		st.lets = true
	case "not_affected":
		st.lets = justified(str(raw["justification"]))
	case "affected", "under_investigation":
	default:
		return st, false, errVEX
	}
	products, err := items(raw["products"])
	if err != nil {
		return st, false, err
	}
	if len(products) == 0 { // about what was signed
		products = []any{map[string]any{}}
		ours = func(map[string]any) bool { return true }
	}
	for _, p := range products {
		product := component(p)
		if !ours(product) {
			continue
		}
		about = true
		// Versions before 0.2 have the subcomponents beside the products.
		within, beside := product["subcomponents"], raw["subcomponents"]
		st.whole = st.whole || within == nil && beside == nil
		for _, from := range []any{within, beside} {
			parts, err := items(from)
			if err != nil {
				return st, false, err
			}
			for _, part := range parts {
				st.parts = append(st.parts, purlsOf(component(part))...)
			}
		}
	}
	return st, about, nil
}

// justified reports whether a reason is one of those that there are for not being affected.
func justified(reason string) bool {
	return slices.Contains([]string{"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist"}, reason)
}

// vexNames are those of a vulnerability: its name, which older documents write alone, and aliases.
func vexNames(v any) ([]string, error) {
	if name, ok := v.(string); ok && name != "" {
		return []string{folded(name)}, nil
	}
	o := object(v)
	aliases, _ := o["aliases"].([]any)
	var names []string
	for _, one := range append([]any{o["name"]}, aliases...) {
		if name := str(one); name != "" {
			names = append(names, folded(name))
		}
	}
	if id := str(o["@id"]); len(names) == 0 && id != "" {
		names = append(names, folded(id[strings.LastIndex(id, "/")+1:]))
	}
	if len(names) == 0 || len(names) > maxVEXNames {
		return nil, errVEX
	}
	return names, nil
}

// purlsOf are the package URLs of a component. One without any is no part that could be found in an image.
func purlsOf(c map[string]any) (all []*core.Package) {
	for _, id := range []string{str(c["@id"]), str(object(c["identifiers"])["purl"])} {
		if p, err := sbom.ParsePURL(id); err == nil {
			all = append(all, &p)
		}
	}
	return all
}

// component is a product or subcomponent, which older documents write as their id alone.
func component(v any) map[string]any {
	if id, ok := v.(string); ok {
		return map[string]any{"@id": id}
	}
	return object(v)
}

func items(v any) ([]any, error) {
	list, ok := v.([]any)
	if v != nil && !ok || len(list) > maxVEXProducts {
		return nil, errVEX
	}
	return list, nil
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func str(v any) string {
	s, _ := v.(string)
	return s
}
