package gatekeeper

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// facts are where that comes from which a decision about a digest rests on.
type facts interface {
	// evidence is what is said about a digest of a repository and about the indexes there that list it, verified with material.
	// found is what was read of it already, or nil.
	evidence(ctx context.Context, repository string, d digest.Digest, now *material, found *store.Found) (*store.Found, error)
	// users lists manifests of a repository that refer to a blob, at most maxUsers, the likeliest to let it be read first.
	users(ctx context.Context, repository string, blob digest.Digest) ([]string, error)
	// further looks for one beyond those. nil: there is none.
	further(ctx context.Context, s search) (*verdict, error)
	// hold is how long what was found may be believed while nothing is told to have changed; 0: for as long as that.
	hold() time.Duration
}

// factsOf says where those of a project come from.
func (k *Keeper) factsOf(p *core.Project) facts {
	if p.Registry == "" {
		return rows{k}
	}
	return newLive(k)
}

// rows are facts of what lies in the hub: they were written down when it was pushed.
type rows struct{ *Keeper }

func (r rows) users(ctx context.Context, repository string, blob digest.Digest) ([]string, error) {
	return r.store.Users(ctx, repository, string(blob), maxUsers)
}

func (r rows) further(ctx context.Context, s search) (*verdict, error) {
	return r.searchFurther(ctx, s)
}

func (rows) hold() time.Duration { return 0 }
