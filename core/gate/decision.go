package gate

import (
	"time"
)

// Decision says whether content may be pulled, and why not. The zero value denies.
type Decision struct {
	Repository string
	Digest     string
	// Until is when the verdict may change without anything being changed; zero: never. It was made under these revisions.
	Until          time.Time
	PolicyRevision int64
	TrustRevision  int64
	// Fault is for the log: what broke while deciding. What broke has vouched for nothing; where enough else did, or the
	// policy only warns, the decision may allow all the same.
	Fault error

	host    string
	sound   bool // the decision came to its end
	allowed bool
	exempt  string

	first [3]Result // without an allocation; most projects have no more
	n     int
	more  []Result
}

// Result is what one policy says. The zero value denies.
type Result struct {
	Policy  *Policy
	Outcome Outcome
	Reasons []Reason // why it is not satisfied
	Exempt  string   // why it was not asked further
}

// Outcome is what a policy's answer comes to.
type Outcome int8

// The outcomes. Warned and Audited were not satisfied, and do not deny.
const (
	OutcomeDenied Outcome = iota
	OutcomeAllowed
	OutcomeExempt
	OutcomeWarned
	OutcomeAudited
)

func (o Outcome) String() string {
	switch o {
	case OutcomeAllowed:
		return "allowed"
	case OutcomeExempt:
		return "exempt"
	case OutcomeWarned:
		return "warned"
	case OutcomeAudited:
		return "audited"
	}
	return "denied"
}

// MarshalText writes an outcome as String does.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Code is the stable code of a reason. The set is closed; clients and the portal translate it.
type Code string

// The codes, from the furthest from passing to the nearest.
const (
	NoKey              Code = "NO_KEY" // nobody is registered who could vouch
	NoSignature        Code = "NO_SIGNATURE"
	MissingAttestation Code = "MISSING_ATTESTATION"
	NoValidSignature   Code = "NO_VALID_SIGNATURE"
	UntrustedIdentity  Code = "UNTRUSTED_IDENTITY"
	Revoked            Code = "REVOKED"
	TlogMissing        Code = "TLOG_MISSING"
	Expired            Code = "EXPIRED"
	PredicateRejected  Code = "PREDICATE_REJECTED"
	NotScanned         Code = "NOT_SCANNED" // never, not to the end, or not for what is asked
	ScanStale          Code = "SCAN_STALE"
	TooSevere          Code = "SEVERITY"
	NotCompliant       Code = "COMPLIANCE"
	EvidencePending    Code = "EVIDENCE_PENDING"
	VerifierError      Code = "VERIFIER_ERROR"
)

// Reason is one thing that is missing, for the details of an error.
type Reason struct {
	Rule   string `json:"rule"` // signature, vulnerabilities, compliance, or the name of an attestation rule
	Code   Code   `json:"code"`
	Text   string `json:"text"`             // in English; In says it in others
	Fix    string `json:"fix,omitempty"`    // a command that would put it right
	Digest string `json:"digest,omitempty"` // of what it is missing, if not of what was asked for

	said phrase
}

// Allowed reports whether the content may be read.
func (d *Decision) Allowed() bool { return d.sound && d.allowed }

// Holds reports whether the verdict is still the one that would be made, as long as no revision has changed.
func (d *Decision) Holds(now time.Time) bool {
	return d.sound && (d.Until.IsZero() || now.Before(d.Until))
}

// Exempt says why content is readable that is not trusted. "" if it is trusted, or refused.
func (d *Decision) Exempt() string {
	if !d.Allowed() {
		return ""
	}
	return d.exempt
}

// Results are the answers of all policies that apply, in the order in which a refusal names them.
func (d *Decision) Results() []Result {
	all := make([]Result, d.n, d.n+len(d.more))
	copy(all, d.first[:])
	return append(all, d.more...)
}

// Has reports whether a policy came to that; it allocates nothing.
func (d *Decision) Has(o Outcome) bool {
	for i := range d.n {
		if d.first[i].Outcome == o {
			return true
		}
	}
	for i := range d.more {
		if d.more[i].Outcome == o {
			return true
		}
	}
	return false
}

func (d *Decision) add(r Result) {
	if d.n < len(d.first) {
		d.first[d.n] = r
		d.n++
		return
	}
	d.more = append(d.more, r)
}

// settle says yes only if every single result does.
func (d *Decision) settle() {
	d.allowed = true
	for i := range d.n {
		d.allowed = d.allowed && d.first[i].Outcome != OutcomeDenied
	}
	for i := range d.more {
		d.allowed = d.allowed && d.more[i].Outcome != OutcomeDenied
	}
}

// For is the verdict as it concerns somebody: exemptions are laid over it. A verdict that is kept is one of nobody, that
// is of a zero Who.
func (d Decision) For(who Who, access Access) Decision {
	if !d.sound || d.allowed {
		return d
	}
	first := d.exempt
	d.more = append([]Result(nil), d.more...)
	for i := range d.n {
		d.first[i].excuse(&d, &who, access)
	}
	for i := range d.more {
		d.more[i].excuse(&d, &who, access)
	}
	if d.settle(); !d.allowed {
		d.exempt = first
	}
	return d
}

// excuse turns a refusal into an exemption if there is one.
func (r *Result) excuse(d *Decision, who *Who, access Access) {
	if r.Outcome != OutcomeDenied {
		return
	}
	switch {
	case access == AccessManifest && (who.Push || who.Sign):
		// Who pushes and who signs must see what is not trusted yet; layers they do not need.
		r.Exempt = "signer"
	case (access == AccessManifest || access == AccessBlob) && who.Job == "scan":
		r.Exempt = "job scan"
	case r.Policy == nil:
		return
	default:
		for i := range r.Policy.principals {
			if x := &r.Policy.principals[i]; x.covers(who, access) {
				r.Exempt = x.String()
			}
		}
	}
	if r.Exempt != "" {
		r.Outcome, d.exempt = OutcomeExempt, r.Exempt
	}
}

func (x *exemptPrincipal) String() string {
	switch {
	case x.robot != "":
		return "robot " + x.robot
	case x.job != "":
		return "job " + x.job
	}
	return "permission " + string(x.permission)
}
