package gatekeeper

import (
	"context"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// maxReason is how long the reason in the audit trail is, in bytes.
const maxReason = 300

// noteRefused tells of a read that was refused.
func (k *Keeper) noteRefused(ctx context.Context, d *gate.Decision) {
	k.note(ctx, store.PullRefused, d, gate.OutcomeDenied)
}

// noteServed tells of a read that was served though not everything that was asked for is there.
func (k *Keeper) noteServed(ctx context.Context, d *gate.Decision) {
	if d.Has(gate.OutcomeExempt) {
		k.note(ctx, store.PullExempted, d, gate.OutcomeExempt)
	}
	if d.Has(gate.OutcomeAudited) {
		k.note(ctx, store.PullUnsatisfied, d, gate.OutcomeAudited)
	}
}

func (k *Keeper) note(ctx context.Context, action string, d *gate.Decision, of gate.Outcome) {
	if k.opt.Note == nil {
		return
	}
	reason := reasonOf(d, of)
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	k.opt.Note(ctx, store.GateRead{Action: action, Repository: d.Repository, Digest: d.Digest, Reason: reason})
}

// reasonOf names the policies that came to the same, with the exemption or the codes of what is missing.
func reasonOf(d *gate.Decision, of gate.Outcome) string {
	var list []string
	for _, r := range d.Results() {
		if r.Outcome != of {
			continue
		}
		var why []string
		if r.Exempt != "" {
			why = append(why, r.Exempt)
		}
		for _, x := range r.Reasons {
			if r.Exempt == "" && !slices.Contains(why, string(x.Code)) {
				why = append(why, string(x.Code))
			}
		}
		said := strings.Join(why, ", ")
		if r.Policy != nil {
			said = r.Policy.Name() + ": " + said
		}
		list = append(list, said)
	}
	return strings.Join(list, "; ")
}
