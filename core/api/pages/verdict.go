package pages

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core/gate"
)

// Verdicts are the pages of verdicts: why something may be pulled or not, and what would put it right. Whoever calls the
// methods has made sure that the reader may know.
type Verdicts struct {
	template *template.Template
	style    template.CSS
}

// NewVerdicts makes them.
func NewVerdicts() (*Verdicts, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, err
	}
	t, err := template.ParseFS(files, "verdict.html")
	return &Verdicts{template: t, style: template.CSS(style)}, err
}

// verdictPage is what the template shows: one verdict, a list of them, or that there is nothing.
type verdictPage struct {
	Lang, Other, OtherName, Nonce string
	Style                         template.CSS
	T                             *verdictText
	URL                           string // of the hub; "" if the request does not say

	One      *gate.Explanation
	Policies []verdictPolicy
	Digest   string
	List     []VerdictLine
	More     bool
}

type verdictPolicy struct {
	gate.PolicyExplanation
	State, Mode, Wants string
	Reasons, Commands  []string
	Found              []verdictFinding
	Passing            []verdictPassing
}

// verdictPassing is what is let pass in the words of the page. Who is the exception, the policy's reason or the signer.
type verdictPassing struct {
	gate.Passing
	How, Who string
}

// verdictFinding is a piece of evidence in the words of the page. Detail is what a verifier said, in English.
type verdictFinding struct {
	Kind, PredicateType, Signer, Text, Detail string
	Counts                                    bool
}

// VerdictLine is one verdict of several about the same digest.
type VerdictLine struct {
	Repository string
	Allowed    bool
}

// One answers with the verdict on one image.
func (v *Verdicts) One(w http.ResponseWriter, r *http.Request, base string, x *gate.Explanation) {
	p := v.page(r, base)
	p.One = x
	for i := range x.Policies {
		p.Policies = append(p.Policies, p.T.policy(&x.Policies[i]))
	}
	v.answer(w, http.StatusOK, p)
}

// List answers with the verdicts on a digest in several repositories; more says that there are further ones.
func (v *Verdicts) List(w http.ResponseWriter, r *http.Request, base, digest string, all []VerdictLine, more bool) {
	p := v.page(r, base)
	p.Digest, p.List, p.More = digest, all, more
	v.answer(w, http.StatusOK, p)
}

// None answers that there is no verdict, or none that the reader may see. It is the same page whatever was asked for.
func (v *Verdicts) None(w http.ResponseWriter, r *http.Request, base string) {
	v.answer(w, http.StatusNotFound, v.page(r, base))
}

func (v *Verdicts) page(r *http.Request, base string) *verdictPage {
	p := &verdictPage{Lang: "en", Other: "zh-CN", OtherName: "中文", Nonce: nonceMark, Style: v.style, T: verdictEnglish(), URL: base}
	asked := r.URL.Query().Get("lang")
	if asked == "zh-CN" || asked != "en" && PrefersChinese(r.Header.Get("Accept-Language")) {
		p.Lang, p.Other, p.OtherName, p.T = "zh-CN", "en", "English", verdictChinese()
	}
	return p
}

func (v *Verdicts) answer(w http.ResponseWriter, status int, p *verdictPage) {
	var out bytes.Buffer
	if err := v.template.Execute(&out, p); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Add("Vary", "Accept-Language")
	w.Header().Set("Content-Language", p.Lang)
	writeStatus(w, status, out.Bytes())
}

// policy says in the words of the page what one policy says.
func (t *verdictText) policy(x *gate.PolicyExplanation) verdictPolicy {
	p := verdictPolicy{PolicyExplanation: *x, State: t.Outcomes[x.Outcome.String()], Mode: t.Modes[string(x.Mode)], Wants: x.WantsIn(t.language)}
	for i := range x.Reasons {
		if text := x.Reasons[i].In(t.language); !slices.Contains(p.Reasons, text) {
			p.Reasons = append(p.Reasons, text)
		}
		for _, c := range commands(x.Reasons[i].Fix) {
			if !slices.Contains(p.Commands, c) {
				p.Commands = append(p.Commands, c)
			}
		}
	}
	for i := range x.Found {
		f := &x.Found[i]
		said := verdictFinding{Kind: t.Kinds[string(f.Kind)], PredicateType: f.PredicateType, Signer: f.SignerIn(t.language), Counts: f.Counts}
		if said.Kind == "" {
			said.Kind = string(f.Kind)
		}
		said.Text, said.Detail = f.In(t.language)
		p.Found = append(p.Found, said)
	}
	for i := range x.Passing {
		one := &x.Passing[i]
		p.Passing = append(p.Passing, verdictPassing{*one, t.Passes[one.By], cmp.Or(one.Exception, one.Reason, one.SignerIn(t.language))})
	}
	return p
}

// commands are those that put something right: cosign's, and before it our own where that does the same.
func commands(fix string) []string {
	if fix == "" {
		return nil
	}
	for _, verb := range []string{"sign", "attest"} {
		rest, ok := strings.CutPrefix(fix, "cosign "+verb+" --key ")
		if ok && !strings.Contains(rest, "--new-bundle-format") {
			return []string{"hallmark " + verb + " --key " + rest, fix}
		}
	}
	return []string{fix}
}
