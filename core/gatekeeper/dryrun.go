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
	dryRunRepairs    = 32 // keys that are tried
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

// Repair is the registered key whose signature would let most of it pass.
type Repair struct {
	Authority string `json:"authority"`
	Artifacts int    `json:"artifacts"`
}

// dryRun is one in progress.
type dryRun struct {
	*Keeper
	policy  *gate.Policy
	now     *material
	judged  map[judgedKey]string // why it would be refused; "": it would not
	repairs map[string]int       // by name of the key
}

type judgedKey struct{ repository, digest, tag string }

// DryRun says what of a project a policy would refuse, whatever its mode. Nothing is changed.
func (k *Keeper) DryRun(ctx context.Context, p *core.Project, document string) (*DryRun, error) {
	policy, now, err := k.draft(ctx, p, document)
	if err != nil {
		return nil, err
	}
	now.draft = len(policy.Keys()) > 0
	r := &dryRun{Keeper: k, policy: policy, now: now, judged: map[judgedKey]string{}, repairs: map[string]int{}}
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
			why, err := r.judge(ctx, a.Repository, a.Digest, tag, true)
			if err != nil {
				return err
			}
			if why != "" {
				refused.Tags, refused.Reason = append(refused.Tags, tag), why
			}
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
		why, err := r.judge(ctx, pull.Repository, pull.Digest, pull.Tag, false)
		if err != nil {
			return err
		}
		if why == "" {
			continue
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

// judge says why the policy would refuse something, in short; "" if it would not, or if it is gone. mend also asks which
// keys would change that.
func (r *dryRun) judge(ctx context.Context, repository, d, tag string, mend bool) (string, error) {
	key := judgedKey{repository: repository, digest: d}
	if r.now.warns { // else it is not bound to tags
		key.tag = tag
	}
	if why, ok := r.judged[key]; ok {
		return why, nil
	}
	why, in, err := r.ask(ctx, repository, d, tag)
	if err != nil && (ctx.Err() != nil || core.CodeOf(err) == core.CodeUnavailable || registry.CodeOf(err) == registry.CodeUnavailable) {
		return "", err
	}
	if err != nil { // one that breaks says nothing of the others
		r.opt.Log.WarnContext(ctx, "a dry run could not look at everything", "repository", repository, "digest", d, "error", err)
		why, mend = "it could not be checked", false
	}
	if r.judged[key] = why; why != "" && mend {
		r.mend(ctx, in)
	}
	return why, nil
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

// mend counts the keys whose signature would be enough.
func (r *dryRun) mend(ctx context.Context, in gate.Input) {
	evidence := in.Evidence
	for i := range r.now.known[:min(len(r.now.known), dryRunRepairs)] {
		key := &r.now.known[i]
		if !key.RevokedAt.IsZero() || ctx.Err() != nil {
			continue
		}
		in.Evidence = append(slices.Clip(evidence), core.Evidence{Subject: in.Digest, Content: in.Digest, Payload: in.Digest, Size: 1,
			Arrived: r.store.Now(), Format: core.FormatBundle, Kind: core.EvidenceSignature, PredicateType: core.PredicateSignature,
			Signer: &core.Signer{Key: key.Fingerprint}})
		if d := gate.Decide(in, r.store.Now()); unsatisfied(&d) == "" {
			r.repairs[key.Name]++
		}
	}
}

func (r *dryRun) best() *Repair {
	var best *Repair
	for name, n := range r.repairs {
		if best == nil || n > best.Artifacts || n == best.Artifacts && name < best.Authority {
			best = &Repair{Authority: name, Artifacts: n}
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
