package gatekeeper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// usersNamed is how many users a refusal to remove something names.
const usersNamed = 10

// DeleteAuthority removes a key or an identity of a project, or of the hub if p is nil. A key that policies refer to stays,
// unless forced: without it they refuse everything, or mean another key of that name. Who has to end trust at once revokes
// (RevokeAuthority), which asks nobody.
func (k *Keeper) DeleteAuthority(ctx context.Context, p *core.Project, name string, revision int64, force bool) error {
	if !force {
		found, err := k.store.TrustMentions(ctx, p, name)
		if err != nil {
			return err
		}
		if err := inUse("the key "+name, usersOfKey(found, p, name)); err != nil {
			return err
		}
	}
	return k.store.DeleteTrustDocument(ctx, p, store.TrustAuthority, name, revision)
}

// DeleteTrustRoot removes a trust root of a project, or of the hub if p is nil; one that identities or policies rely on
// only if forced.
func (k *Keeper) DeleteTrustRoot(ctx context.Context, p *core.Project, name string, revision int64, force bool) error {
	if p == nil && name == trust.PublicGoodName {
		return fixed(name)
	}
	if !force {
		found, err := k.store.TrustMentions(ctx, p, name)
		if err != nil {
			return err
		}
		if err := inUse("the trust root "+name, usersOfRoot(found, name)); err != nil {
			return err
		}
	}
	return k.store.DeleteTrustDocument(ctx, p, store.TrustRoot, name, revision)
}

// usersOfKey names the policies that mean the key of p. A project that has its own key of that name means its own.
func usersOfKey(found []store.TrustMention, p *core.Project, name string) []string {
	own := map[string]bool{}
	for _, m := range found {
		if m.Kind == store.TrustAuthority && m.Name == name && !m.Hub && p == nil {
			own[m.Project] = true
		}
	}
	var users []string
	for _, m := range found {
		if policy := policyOf(&m); policy != nil && !own[m.Project] && slices.Contains(policy.References(), name) {
			users = append(users, user(&m))
		}
	}
	return users
}

// usersOfRoot names the identities and policies that rely on a trust root.
func usersOfRoot(found []store.TrustMention, name string) []string {
	var users []string
	for _, m := range found {
		uses := false
		if policy := policyOf(&m); policy != nil {
			uses = slices.Contains(policy.TrustRoots(), name)
		} else if a, err := ParseAuthority(m.Document); m.Kind == store.TrustAuthority && err == nil && a.Identity != nil {
			uses = a.Identity.TrustRoot == name
		}
		if uses {
			users = append(users, user(&m))
		}
	}
	return users
}

// policyOf is nil for what is no policy, or one that cannot be read and refuses everything anyway.
func policyOf(m *store.TrustMention) *gate.Policy {
	if m.Kind != store.TrustPolicy {
		return nil
	}
	p, err := gate.Parse([]byte(m.Document))
	if err != nil {
		return nil
	}
	return p
}

func user(m *store.TrustMention) string {
	noun := "policy "
	if m.Kind == store.TrustAuthority {
		noun = "identity "
	}
	if m.Hub {
		return noun + m.Name + " of the hub"
	}
	return noun + m.Name + " of project " + m.Project
}

func inUse(what string, users []string) error {
	if len(users) == 0 {
		return nil
	}
	named := strings.Join(users[:min(len(users), usersNamed)], ", ")
	if more := len(users) - usersNamed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return core.Errorf(core.CodeConflict, "%s is used by %s: change or remove them first, or repeat with ?force=true, and what "+
		"nothing else vouches for is refused from then on", what, named)
}
