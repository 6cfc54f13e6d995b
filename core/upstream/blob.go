package upstream

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// blob opens a blob behind. Its bytes may take as long as they come.
func (p *place) blob(d digest.Digest) (*registry.Blob, error) {
	ctx, cancel := context.WithCancelCause(p.asked)
	late := time.AfterFunc(p.opt.Patience, func() { cancel(errSlow) })
	b, err := p.to.Blob(ctx, p.there, d)
	if !late.Stop() && err == nil {
		b.Content.Close()
		err = errSlow
	}
	if err != nil {
		err = p.reading(ctx, err)
		cancel(nil)
		return nil, err
	}
	b.Content = &content{BlobContent: b.Content, p: p, ctx: ctx, cancel: cancel}
	return b, nil
}

// content ends with an error where the registry behind falls silent.
type content struct {
	registry.BlobContent
	p      *place
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (c *content) Read(b []byte) (int, error) {
	late := time.AfterFunc(c.p.opt.Silence, func() { c.cancel(errSlow) })
	defer late.Stop()
	n, err := c.BlobContent.Read(b)
	if err != nil && registry.CodeOf(err) != registry.CodeUnknown || context.Cause(c.ctx) != nil {
		err = c.p.fault(c.ctx, err)
	}
	return n, err
}

func (c *content) Close() error {
	defer c.cancel(nil)
	return c.BlobContent.Close()
}
