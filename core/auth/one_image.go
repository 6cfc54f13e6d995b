package auth

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

const (
	// OneImageLife is how long a token for one image lives at most: a scanner reads the image first. It dies with the try of
	// the job that it was made for.
	OneImageLife = 15 * time.Minute
	// oneImageSure is how long it is believed without asking that the job still runs.
	oneImageSure = time.Second
)

// imageClaim binds a token to one image and one try of one job.
type imageClaim struct {
	Kind       string `json:"kind"`
	Fence      int64  `json:"fence"`
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
}

func imageOf(p *core.Principal) *imageClaim {
	if p.Image == nil {
		return nil
	}
	return &imageClaim{p.Image.Kind, p.Image.Fence, p.Image.Repository, p.Image.Digest}
}

// OneImageToken makes a token with which whoever has it reads one image, by its digest and with the blobs that it names, as
// long as this try of the job runs. It is good for nothing else (core/access).
func (a *Authenticator) OneImageToken(ctx context.Context, job string, image core.OneImage) (string, error) {
	p := &core.Principal{Kind: core.KindJob, ID: job, Image: &image}
	token, _, err := a.tokens.issue(ctx, proven{Principal: p}, []accessEntry{})
	return token, err
}

// bindJob asks whether the try still runs that a token was made for.
func (a *Authenticator) bindJob(ctx context.Context, v *verifiedToken) (*binding, error) {
	c := v.Image
	now := a.store.Now()
	runs, err := a.store.JobRuns(ctx, v.id, c.Kind, c.Fence)
	if err != nil {
		return nil, err
	}
	if !runs {
		return nil, core.Errorf(core.CodeUnauthenticated, "the job that this token was made for does not run any more")
	}
	return &binding{until: now.Add(oneImageSure), principal: &core.Principal{Kind: core.KindJob, ID: v.id, Name: "job " + c.Kind,
		Grants: v.grants, Credential: "job:" + v.id, RegistryToken: true,
		Image: &core.OneImage{Kind: c.Kind, Fence: c.Fence, Repository: c.Repository, Digest: c.Digest}}}, nil
}
