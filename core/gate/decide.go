package gate

import (
	"errors"
	"fmt"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Decide says whether content may be pulled: it may if every policy that applies is satisfied, or only warns. It is total:
// whatever is missing, cannot be read, takes too long or breaks is refused, with a reason.
func Decide(in Input, now time.Time) Decision {
	d := decide(&in, now)
	if d.sound && !d.allowed && (in.Who != Who{}) {
		return d.For(in.Who, in.Access)
	}
	return d
}

func decide(in *Input, now time.Time) (d Decision) {
	d = Decision{Repository: in.Repository, Digest: in.Digest, host: in.Host}
	defer func() {
		if r := recover(); r != nil {
			d = broken(in, fmt.Errorf("the gate broke: %v", r))
		}
	}()
	switch {
	case in.Policies == nil || in.Registered == nil:
		return broken(in, errors.New("the policies in force are not known"))
	case in.Repository == "" || !validDigest(in.Digest):
		return broken(in, errors.New("it is not known what is asked for"))
	case now.IsZero():
		return broken(in, errors.New("the time is not known"))
	}
	d.PolicyRevision, d.TrustRevision = in.Policies.revision, in.Registered.revision
	if in.TrustArtifact {
		d.sound, d.allowed, d.exempt = true, true, "trust artifact"
		return d
	}
	e := evaluation{in: in, now: now}
	for _, p := range in.Policies.policies {
		if !p.applies(in) {
			continue
		}
		r, until := e.result(p)
		if e.fault != nil {
			d.Fault = errors.Join(d.Fault, e.fault)
			e.fault = nil
		}
		d.Until = sooner(d.Until, until)
		d.add(r)
	}
	d.settle()
	d.sound = true
	return d
}

// broken refuses because the question could not be asked.
func broken(in *Input, err error) Decision {
	d := Decision{Repository: in.Repository, Digest: in.Digest, host: in.Host, Fault: err}
	d.add(Result{Reasons: []Reason{because("gate", VerifierError, say(sNotChecked))}})
	return d
}

// result is what one policy says, and until when. A policy that breaks is one that is not satisfied.
func (e *evaluation) result(p *Policy) (r Result, until time.Time) {
	defer func() {
		if x := recover(); x != nil {
			e.fault = fmt.Errorf("policy %s broke: %v", p.name, x)
			r, until = p.unsatisfied([]Reason{because("policy", VerifierError, say(sNotChecked))}), time.Time{}
		}
	}()
	e.p, e.soon, e.loads, e.bytes, e.spent = p, time.Time{}, 0, 0, 0
	if !p.sound {
		e.fault = fmt.Errorf("policy %s cannot be read: %w", p.name, errors.Join(p.broken))
		return p.unsatisfied([]Reason{because("policy", VerifierError, say(sPolicyUnreadable))}), time.Time{}
	}
	if x, ok := p.exemptDigest(e.in.Digest, e.now); ok {
		return Result{Policy: p, Outcome: OutcomeExempt, Exempt: x.reason}, x.expires
	}
	s := e.policy()
	if s.ok && e.warned {
		r = Result{Policy: p, Outcome: OutcomeWarned, Reasons: e.scanReasons(true, nil)}
		if p.mode == ModeAudit {
			r.Outcome = OutcomeAudited
		}
		return r, s.until
	}
	if s.ok {
		return Result{Policy: p, Outcome: OutcomeAllowed}, s.until
	}
	return p.unsatisfied(e.reasons(nil)), e.soon
}

// unsatisfied is what a policy's mode makes of that. A mode that is unknown denies.
func (p *Policy) unsatisfied(reasons []Reason) Result {
	r := Result{Policy: p, Outcome: OutcomeDenied, Reasons: reasons}
	switch p.mode {
	case ModeWarn:
		r.Outcome = OutcomeWarned
	case ModeAudit:
		r.Outcome = OutcomeAudited
	}
	return r
}

func (p *Policy) exemptDigest(digest string, now time.Time) (*exemptDigest, bool) {
	for i := range p.digests {
		if x := &p.digests[i]; x.digest == digest && now.Before(x.expires) {
			return x, true
		}
	}
	return nil, false
}

// span is whether something holds, and until when; zero: for ever.
type span struct {
	ok    bool
	until time.Time
}

// sooner is the earlier of two ends, where zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// or holds as long as one of both does; and while both do.
func (s span) or(o span) span {
	switch {
	case !o.ok:
		return s
	case !s.ok || o.until.IsZero() || !s.until.IsZero() && o.until.After(s.until):
		return o
	}
	return s
}

func (s span) and(o span) span { return span{s.ok && o.ok, sooner(s.until, o.until)} }

// view is one manifest and what is said about it.
type view struct {
	digest   string
	evidence []core.Evidence
}
