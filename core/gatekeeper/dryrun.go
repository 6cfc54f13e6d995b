package gatekeeper

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Bounds of a dry run. What is beyond them is left out, and the answer says so.
const (
	dryRunArtifacts  = 1000
	dryRunPulls      = 5000 // rows: a repository, digest, tag and principal
	dryRunDays       = 30
	dryRunPrincipals = 20 // named per digest
	dryRunPatience   = 20 * time.Second
	maxShort         = 300 // bytes of a reason
)

// DryRun is what a policy would refuse if it were in force.
type DryRun struct {
	Policy        gate.Summary   `json:"policy"`
	Artifacts     int            `json:"artifacts"` // looked at
	Complete      bool           `json:"complete"`  // there are no further tagged ones
	Refused       []Refusal      `json:"refused"`
	Pulls         []RefusedPulls `json:"pulls"` // of the last 30 days, the most frequent first
	PullsComplete bool           `json:"pulls_complete"`
	Repair        *Repair        `json:"repair,omitempty"`
}

// Refusal is a tagged artifact that would be refused.
type Refusal struct {
	Repository string   `json:"repository"` // in full
	Digest     string   `json:"digest"`
	Tags       []string `json:"tags"`
	Reason     string   `json:"reason"`
}

// RefusedPulls are pulls of one digest that would have been refused.
type RefusedPulls struct {
	Repository string   `json:"repository"`
	Digest     string   `json:"digest"`
	Pulls      int64    `json:"pulls"`
	Principals []string `json:"principals"`
}

// Repair is whoever alone could let most of it pass. Exactly one of Authority and Identity is set.
type Repair struct {
	Authority string `json:"authority,omitempty"` // of the policy: what it vouches for as the policy wants would pass
	// Identity has vouched already, and would have to be registered.
	Identity  *Identity `json:"identity,omitempty"`
	Fix       string    `json:"fix,omitempty"` // the command that registers it
	Artifacts int       `json:"artifacts"`     // refused ones that would pass
	Pulls     int64     `json:"pulls"`         // refused ones that would have passed
}

// Proposal is what is not in force: the document of a policy, or a value of the project's baseline.
type Proposal struct {
	Document string
	Baseline core.Baseline
}

// dryRun is one in progress.
type dryRun struct {
	*Keeper
	policy  *gate.Policy
	now     *material
	judged  map[judgedKey]judgement
	repairs map[string]*Repair
}

// judgement is why something would be refused, "" if it would not, and what would repair that: keys of repairs.
type judgement struct {
	why     string
	repairs []string
}

type judgedKey struct{ repository, digest, tag string }

// DryRun says what of a project a policy would refuse, whatever its mode. Nothing is changed.
func (k *Keeper) DryRun(ctx context.Context, p *core.Project, of Proposal) (*DryRun, error) {
	policy, now, err := k.proposed(ctx, p, of)
	if err != nil {
		return nil, err
	}
	now.draft = len(policy.Keys()) > 0
	r := &dryRun{Keeper: k, policy: policy, now: now, judged: map[judgedKey]judgement{}, repairs: map[string]*Repair{}}
	out := &DryRun{Policy: policy.Summary(), Refused: []Refusal{}, Pulls: []RefusedPulls{}}
	patient, cancel := context.WithTimeout(ctx, dryRunPatience)
	defer cancel()
	for _, look := range []func(context.Context, *core.Project, *DryRun) error{r.artifacts, r.pulls} {
		err := look(patient, p, out)
		if err != nil && (patient.Err() == nil || ctx.Err() != nil) {
			return nil, err
		}
	}
	out.Repair = r.best()
	return out, nil
}

func (k *Keeper) proposed(ctx context.Context, p *core.Project, of Proposal) (*gate.Policy, *material, error) {
	switch {
	case (of.Document == "") == (of.Baseline == ""):
		return nil, nil, core.Invalid("", "a dry run is of a document or of a baseline")
	case of.Document != "":
		return k.draft(ctx, p, of.Document)
	case of.Baseline != core.BaselineEnforce:
		return nil, nil, core.Invalid("/baseline", "a dry run is of the baseline enforce: warn and off refuse nothing")
	}
	policy := gate.Baseline(of.Baseline)
	now, err := k.materialWith(ctx, p, policy)
	return policy, now, err
}

// artifacts looks at what is tagged.
func (r *dryRun) artifacts(ctx context.Context, p *core.Project, out *DryRun) error {
	all, more, err := r.store.TaggedArtifacts(ctx, p, dryRunArtifacts)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		refused := Refusal{Repository: a.Repository, Digest: a.Digest, Tags: []string{}}
		for _, tag := range a.Tags {
			found, err := r.judge(ctx, a.Repository, a.Digest, tag)
			if err != nil {
				return err
			}
			if found.why == "" {
				continue
			}
			if refused.Reason == "" {
				for _, name := range found.repairs {
					r.repairs[name].Artifacts++
				}
			}
			refused.Tags, refused.Reason = append(refused.Tags, tag), found.why
		}
		if out.Artifacts++; refused.Reason != "" {
			out.Refused = append(out.Refused, refused)
		}
	}
	out.Complete = !more
	return nil
}

// pulls looks at what was pulled, by those who are still known.
func (r *dryRun) pulls(ctx context.Context, p *core.Project, out *DryRun) error {
	all, more, err := r.store.PullsSince(ctx, p, r.store.Now().AddDate(0, 0, -dryRunDays), dryRunPulls)
	if err != nil {
		return err
	}
	at := map[judgedKey]int{}
	defer func() {
		slices.SortStableFunc(out.Pulls, func(a, b RefusedPulls) int { return int(min(1, max(-1, b.Pulls-a.Pulls))) })
	}()
	for _, pull := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, err := r.judge(ctx, pull.Repository, pull.Digest, pull.Tag)
		if err != nil {
			return err
		}
		if found.why == "" {
			continue
		}
		for _, name := range found.repairs {
			r.repairs[name].Pulls += pull.Pulls
		}
		key := judgedKey{repository: pull.Repository, digest: pull.Digest}
		n, ok := at[key]
		if !ok {
			n = len(out.Pulls)
			at[key] = n
			out.Pulls = append(out.Pulls, RefusedPulls{Repository: pull.Repository, Digest: pull.Digest, Principals: []string{}})
		}
		x := &out.Pulls[n]
		x.Pulls += pull.Pulls
		if len(x.Principals) < dryRunPrincipals && !slices.Contains(x.Principals, pull.Principal) {
			x.Principals = append(x.Principals, pull.Principal)
		}
	}
	out.PullsComplete = !more
	return nil
}

// judge says why the policy would refuse something, in short; "" if it would not, or if it is gone.
func (r *dryRun) judge(ctx context.Context, repository, d, tag string) (judgement, error) {
	key := judgedKey{repository: repository, digest: d}
	if r.now.warns { // else it is not bound to tags
		key.tag = tag
	}
	if found, ok := r.judged[key]; ok {
		return found, nil
	}
	why, in, err := r.ask(ctx, repository, d, tag)
	if err != nil && (ctx.Err() != nil || core.CodeOf(err) == core.CodeUnavailable || registry.CodeOf(err) == registry.CodeUnavailable) {
		return judgement{}, err
	}
	found := judgement{why: why}
	switch {
	case err != nil: // one that breaks says nothing of the others
		r.opt.Log.WarnContext(ctx, "a dry run could not look at everything", "repository", repository, "digest", d, "error", err)
		found.why = "it could not be checked"
	case why != "":
		found.repairs = r.mend(in)
	}
	r.judged[key] = found
	return found, nil
}

func (r *dryRun) ask(ctx context.Context, repository, d, tag string) (why string, in gate.Input, err error) {
	m, err := r.next.Manifest(ctx, repository, registry.Reference{Digest: digest.Digest(d)}, false)
	if code := registry.CodeOf(err); code == registry.CodeManifestUnknown || code == registry.CodeNameUnknown {
		return "", in, nil
	}
	if err != nil {
		return "", in, err
	}
	if in, _, err = r.input(ctx, question{material: r.now, repository: repository, tag: tag, manifest: m}); err != nil {
		return "", in, err
	}
	decision := gate.Decide(in, r.store.Now())
	return unsatisfied(&decision), in, nil
}

// unsatisfied is what is missing, whatever the mode of the policy makes of that.
func unsatisfied(d *gate.Decision) string {
	for _, r := range d.Results() {
		if r.Outcome == gate.OutcomeAllowed || r.Outcome == gate.OutcomeExempt {
			continue
		}
		texts := []string{}
		for _, x := range r.Reasons {
			texts = append(texts, x.Text)
		}
		why := strings.Join(texts, "; ")
		if len(why) > maxShort {
			why = strings.ToValidUTF8(why[:maxShort], "") + "…"
		}
		return why
	}
	return ""
}

// mend names what would let something pass, among repairs.
func (r *dryRun) mend(in gate.Input) (names []string) {
	for _, x := range gate.Repairs(in, r.policy, r.store.Now()) {
		name, repair := x.Authority, &Repair{Authority: x.Authority}
		if s := x.Register; s != nil {
			name = strings.Join([]string{"", s.TrustRoot, s.Issuer, s.Subject}, "\n")
			repair = &Repair{Fix: x.Fix, Identity: &Identity{TrustRoot: s.TrustRoot, Issuer: s.Issuer, Subject: s.Subject, WithoutSCT: !s.SCT, WithoutLog: len(s.Logs) == 0}}
		}
		if r.repairs[name] == nil {
			r.repairs[name] = repair
		}
		names = append(names, name)
	}
	return names
}

// best is what repairs most of the pulls and, among equals, of the artifacts.
func (r *dryRun) best() *Repair {
	var best *Repair
	for _, name := range slices.Sorted(maps.Keys(r.repairs)) {
		if x := r.repairs[name]; best == nil || x.Pulls > best.Pulls || x.Pulls == best.Pulls && x.Artifacts > best.Artifacts {
			best = x
		}
	}
	return best
}

// verifyAnew adds what the keys verify that stand in a policy which is not saved: nobody has asked them yet.
func (k *Keeper) verifyAnew(ctx context.Context, repository string, d digest.Digest, now *material, found *store.Found) error {
	carriers := map[string]time.Time{}
	for _, list := range append(slices.Collect(maps.Values(found.Covering)), found.Own) {
		for i := range list {
			if list[i].Signer == nil && list[i].Kind != core.EvidenceUnreadable {
				carriers[list[i].Carrier] = list[i].Arrived
			}
		}
	}
	for carrier, arrived := range carriers {
		parsed, err := k.carrier(ctx, repository, digest.Digest(carrier))
		if err != nil {
			return err
		}
		if parsed == nil {
			continue
		}
		items, err := k.items(ctx, repository, digest.Digest(carrier), parsed)
		if err != nil {
			return err
		}
		verified, err := now.verifier.Verify(ctx, items)
		if err != nil {
			return err
		}
		for _, e := range verified {
			e.Arrived = arrived
			_, covers := found.Covering[e.Subject]
			switch {
			case e.Signer == nil:
			case e.Subject == string(d):
				found.Own = append(found.Own, store.StoredEvidence{Evidence: e, Trust: now.revision})
			case covers:
				found.Covering[e.Subject] = append(found.Covering[e.Subject], store.StoredEvidence{Evidence: e, Trust: now.revision})
			}
		}
	}
	return nil
}
