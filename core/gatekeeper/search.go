package gatekeeper

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// search looks for a manifest that lets a blob be read.
type search struct {
	*Keeper
	material   *material
	repository string
	blob       digest.Digest
	refused    *verdict // the first that does not
	content    bool     // all that were asked are trust artifacts
}

// run asks who let the blob be read last, then whoever is the likeliest, then all others that could. nil: nobody does.
func (s *search) run(ctx context.Context) (*verdict, error) {
	if v, err := s.askHint(ctx, s.material, s.repository, s.blob); v != nil || err != nil {
		return v, err
	}
	users, err := s.material.facts.users(ctx, s.repository, s.blob)
	if err != nil {
		return nil, err
	}
	s.content = len(users) > 0
	if v, err := s.ask(ctx, users...); v != nil || err != nil || len(users) < maxUsers {
		return v, err
	}
	// Of a blob with more users than that, nobody knows that none of them is something else.
	s.content = false
	return s.material.facts.further(ctx, *s)
}

// ask asks some manifests. nil: none of them lets it be read.
func (s *search) ask(ctx context.Context, users ...string) (*verdict, error) {
	for _, u := range users {
		m, err := s.next.Manifest(ctx, s.repository, registry.Reference{Digest: digest.Digest(u)}, false)
		if registry.CodeOf(err) == registry.CodeManifestUnknown {
			continue
		}
		if err != nil {
			return nil, err
		}
		v, err := s.manifest(ctx, question{material: s.material, repository: s.repository, manifest: m})
		if err != nil {
			return nil, err
		}
		if v.trust {
			continue
		}
		s.content = false
		if v.Allowed() {
			s.hints.Set(hint{s.repository, s.blob}, m.Digest)
			return v, nil
		}
		if s.refused == nil {
			s.refused = v
		}
	}
	return nil, nil
}

// searchFurther asks all that can let a blob be read for which the first users did not: what a policy exempts, and whatever
// somebody known vouches for, one after the other, once for all who ask at the same moment. Else whoever pushes, and has one
// of several keys that are wanted, could hide a base layer under images that are refused (V-37). What nobody vouches for is
// not asked: there can be any number of it.
func (k *Keeper) searchFurther(ctx context.Context, s search) (*verdict, error) {
	_, err, _ := k.searching.Do(s.repository+"@"+string(s.blob), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inlinePatience)
		defer cancel()
		v, err := s.further(ctx)
		if v == nil && ctx.Err() != nil {
			k.opt.Log.WarnContext(ctx, "nobody was found in time who vouches for a blob", "repository", s.repository, "digest", s.blob)
			return nil, nil
		}
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	// The search may have begun before something was changed: what it found is a hint, and decided on by each who asked.
	return k.askHint(ctx, s.material, s.repository, s.blob)
}

func (s *search) further(ctx context.Context) (*verdict, error) {
	exempt, err := s.store.Using(ctx, s.repository, string(s.blob), s.material.policies.ExemptDigests(s.store.Now()))
	if err != nil {
		return nil, err
	}
	if v, err := s.ask(ctx, exempt...); v != nil || err != nil {
		return v, err
	}
	var last *store.User
	for {
		users, err := s.store.UsersAfter(ctx, s.repository, string(s.blob), last, maxUsers)
		if err != nil {
			return nil, err
		}
		for i := range users {
			if err := ctx.Err(); err != nil || !users[i].Vouched() {
				return nil, err
			}
			if v, err := s.ask(ctx, users[i].Digest); v != nil || err != nil {
				return v, err
			}
		}
		if len(users) < maxUsers {
			return nil, nil
		}
		last = &users[maxUsers-1]
	}
}
