package upstream

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// MayPush is registry.Writer's. A registry behind says it when something is pushed.
func (r *Router) MayPush(ctx context.Context, repo string) error {
	p, err := r.find(ctx, repo)
	if err != nil || p != nil {
		return err
	}
	return r.own.MayPush(ctx, repo)
}

// PutManifest is registry.Writer's.
func (r *Router) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return r.own.PutManifest(ctx, repo, put)
	}
	e := local.Event{Kind: local.ManifestPushed, Tags: put.Tags}
	var m *registry.Manifest
	err = r.change(p, &e, func(ctx context.Context) (err error) {
		if m, err = p.to.PutManifest(ctx, p.there, put); err == nil {
			e.Digest, e.MediaType, e.Subject = m.Digest, m.MediaType, m.Subject
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// MountBlob is registry.Writer's, within one registry. Elsewhere the blob cannot be had without its bytes.
func (r *Router) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return 0, err
	case p == nil:
		return r.own.MountBlob(ctx, repo, d, from)
	}
	unknown := registry.NewError(registry.CodeBlobUnknown, "the blob cannot be mounted from there: upload it")
	if !registry.ValidName(from.Repository) || from.Allowed == nil {
		return 0, unknown
	}
	source, err := r.find(ctx, from.Repository)
	switch {
	case registry.CodeOf(err) == registry.CodeNameUnknown:
		return 0, unknown
	case err != nil:
		return 0, err
	case source == nil || source.to.id != p.to.id:
		return 0, unknown
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	size, err := p.to.MountBlob(short, p.there, d, registry.MountSource{Repository: source.there,
		Allowed: func(ctx context.Context, _ string) bool { return from.Allowed(ctx, from.Repository) }})
	return size, p.writing(short, err)
}

// StartUpload is registry.Writer's.
func (r *Router) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return registry.Upload{}, err
	case p == nil:
		return r.own.StartUpload(ctx, repo, alg)
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	u, err := p.to.StartUpload(short, p.there, alg)
	if err != nil {
		return registry.Upload{}, p.writing(short, err)
	}
	u.ID = r.owned(p, u.ID)
	return u, nil
}

// Upload is registry.Writer's.
func (r *Router) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	p, err := r.find(ctx, repo)
	if err != nil {
		return registry.Upload{}, err
	}
	if p == nil {
		return r.own.Upload(ctx, repo, id)
	}
	theirs, err := r.uploadOf(p, id)
	if err != nil {
		return registry.Upload{}, err
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	u, err := p.to.Upload(short, p.there, theirs)
	u.ID = id
	return u, p.writing(short, err)
}

// AppendUpload is registry.Writer's.
func (r *Router) AppendUpload(ctx context.Context, repo, id string, at int64, body io.Reader) (registry.Upload, error) {
	p, err := r.find(ctx, repo)
	if err != nil {
		return registry.Upload{}, err
	}
	if p == nil {
		return r.own.AppendUpload(ctx, repo, id, at, body)
	}
	theirs, err := r.uploadOf(p, id)
	if err != nil {
		return registry.Upload{}, err
	}
	s := p.sending(body)
	defer s.end()
	u, err := p.to.AppendUpload(s.ctx, p.there, theirs, at, s.body)
	u.ID = id
	return u, p.writing(s.ctx, s.named(err, id))
}

// FinishUpload is registry.Writer's.
func (r *Router) FinishUpload(ctx context.Context, repo, id string, at int64, body io.Reader, d digest.Digest) (int64, error) {
	p, err := r.find(ctx, repo)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return r.own.FinishUpload(ctx, repo, id, at, body, d)
	}
	theirs, err := r.uploadOf(p, id)
	if err != nil {
		return 0, err
	}
	s := p.sending(body)
	defer s.end()
	size, err := p.to.FinishUpload(s.ctx, p.there, theirs, at, s.body, d)
	return size, p.writing(s.ctx, s.named(err, id))
}

// CancelUpload is registry.Writer's.
func (r *Router) CancelUpload(ctx context.Context, repo, id string) error {
	p, err := r.find(ctx, repo)
	if err != nil {
		return err
	}
	if p == nil {
		return r.own.CancelUpload(ctx, repo, id)
	}
	theirs, err := r.uploadOf(p, id)
	if err != nil {
		return err
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	return p.writing(short, p.to.CancelUpload(short, p.there, theirs))
}

// owned is the id under which the principal who began an upload knows it: nobody else can make it, nor for another
// repository.
func (r *Router) owned(p *place, theirs string) string {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(core.PrincipalFrom(p.asked).Actor() + "\x00" + p.repository + "\x00" + theirs))
	return theirs + "-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// uploadOf is what an upload is called by the client of the registry behind.
func (r *Router) uploadOf(p *place, id string) (string, error) {
	theirs, _, _ := strings.Cut(id, "-")
	if !hmac.Equal([]byte(id), []byte(r.owned(p, theirs))) {
		return "", registry.NewError(registry.CodeBlobUploadUnknown, "there is no such upload in this repository: begin a new one")
	}
	return theirs, nil
}
