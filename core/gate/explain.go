package gate

import (
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// maxFindings is how many pieces of evidence an explanation lists per policy.
const maxFindings = 100

// Explanation is a decision with everything that led to it, for people who ask why.
type Explanation struct {
	Repository     string              `json:"repository"`
	Digest         string              `json:"digest"`
	Allowed        bool                `json:"allowed"`
	Exempt         string              `json:"exempt,omitempty"`
	Until          *time.Time          `json:"until,omitempty"`
	PolicyRevision int64               `json:"policy_revision"`
	TrustRevision  int64               `json:"trust_revision"`
	Message        string              `json:"message,omitempty"`
	Policies       []PolicyExplanation `json:"policies"`
}

// PolicyExplanation is what one policy says. The policies that do not apply are not listed.
type PolicyExplanation struct {
	Name    string    `json:"name"`
	Project string    `json:"project,omitempty"` // empty: of the hub
	Mode    Mode      `json:"mode"`
	Outcome Outcome   `json:"outcome"`
	Exempt  string    `json:"exempt,omitempty"`
	Wants   string    `json:"wants"`
	Reasons []Reason  `json:"reasons"`
	Found   []Finding `json:"found"`
	Omitted int       `json:"omitted,omitempty"` // findings that are not listed
	// Passing are the worst of what is let pass because somebody answers for it.
	Passing        []Passing `json:"passing,omitempty"`
	PassingOmitted int       `json:"passing_omitted,omitempty"` // further ones

	wants phrase
}

// Finding is a piece of evidence that a rule looked at.
type Finding struct {
	Rule          string              `json:"rule"`
	Subject       string              `json:"subject"` // what was looked at: the digest itself, or an index that lists it
	Carrier       string              `json:"carrier"`
	Content       string              `json:"content"`
	Kind          core.EvidenceKind   `json:"kind"`
	Format        core.EvidenceFormat `json:"format"`
	PredicateType string              `json:"predicate_type,omitempty"`
	Signer        string              `json:"signer,omitempty"`
	Counts        bool                `json:"counts"`
	Code          Code                `json:"code,omitempty"` // why it does not
	Text          string              `json:"text,omitempty"`

	signer, said phrase
}

// Explain decides, and says of every policy and of every piece of evidence what came of it. link is the one for Message.
func Explain(in Input, now time.Time, link string) Explanation {
	d := Decide(in, now)
	x := Explanation{Repository: d.Repository, Digest: d.Digest, Allowed: d.Allowed(), Exempt: d.Exempt(), Message: d.Message(link),
		PolicyRevision: d.PolicyRevision, TrustRevision: d.TrustRevision, Policies: []PolicyExplanation{}}
	if !d.Until.IsZero() {
		x.Until = &d.Until
	}
	for _, r := range d.Results() {
		p := PolicyExplanation{Outcome: r.Outcome, Exempt: r.Exempt, Reasons: r.Reasons, Mode: ModeEnforce, Found: []Finding{}}
		if p.Reasons == nil {
			p.Reasons = []Reason{}
		}
		if r.Policy != nil {
			p.Name, p.Project, p.Mode = r.Policy.name, r.Policy.project, r.Policy.mode
			p.wants = r.Policy.wants()
			p.Wants = p.wants.in(English)
			p.findings(&in, now, r.Policy)
		}
		x.Policies = append(x.Policies, p)
	}
	return x
}

// findings asks the policy once more, and listens. What breaks is left out: the reasons say that it did.
func (x *PolicyExplanation) findings(in *Input, now time.Time, p *Policy) {
	if !p.sound || in.Registered == nil {
		return
	}
	defer func() {
		_ = recover()
	}()
	e := evaluation{in: in, now: now, p: p, passing: x.collect}
	e.policy()
	e.passing = nil // all of it is told
	x.worst()
	e.reasons(func(r *rule, digest string, ev *core.Evidence, code Code) {
		if len(x.Found) == maxFindings {
			x.Omitted++
			return
		}
		f := Finding{Rule: r.name, Subject: digest, Carrier: ev.Carrier, Content: ev.Content, Kind: ev.Kind, Format: ev.Format,
			PredicateType: printable(clip(ev.PredicateType, 200)), Counts: code == "", Code: code}
		if ev.Signer != nil {
			f.signer = in.Registered.describe(ev.Signer)
			f.Signer = f.signer.in(English)
		}
		switch f.said = why(ev, code); {
		case !f.said.none():
			f.Text = f.said.in(English)
		case code != "":
			f.Text = printable(clip(ev.Problem, 200))
		}
		x.Found = append(x.Found, f)
	})
}

// why says of one piece of evidence why it does not count; nothing if its problem is none that we have words for.
func why(ev *core.Evidence, code Code) phrase {
	switch code {
	case "":
		return phrase{}
	case UntrustedIdentity:
		return say(sFoundOthers)
	case Revoked:
		return say(sFoundRevoked)
	case TlogMissing:
		return say(sFoundTlog)
	case Expired:
		return say(sFoundExpired)
	case PredicateRejected:
		return say(sFoundPredicate)
	case VerifierError:
		return say(sNotChecked)
	}
	switch {
	case ev.Problem != "":
		return problem(ev.Problem)
	case ev.Signer == nil:
		return say(sFoundNobody)
	}
	return say(sFoundElsewhere)
}
