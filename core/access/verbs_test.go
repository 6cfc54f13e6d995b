package access

import (
	"context"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// verb is a verb of registry.Registry with what it needs.
type verb struct {
	name  string
	needs core.Action
	call  func(ctx context.Context, r registry.Registry, repo string) error
}

// verbs are all but Repositories, which is of no repository.
func verbs() []verb {
	return []verb{
		{"Manifest", core.ActionPull, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.Manifest(ctx, repo, registry.Reference{Tag: "v1"}, true)
			return err
		}},
		{"Blob", core.ActionPull, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.Blob(ctx, repo, someDigest)
			return err
		}},
		{"StatBlob", core.ActionPull, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.StatBlob(ctx, repo, someDigest, true)
			return err
		}},
		{"Tags", core.ActionPull, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.Tags(ctx, repo, "", 10)
			return err
		}},
		{"Referrers", core.ActionPull, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.Referrers(ctx, repo, someDigest, registry.ReferrerQuery{})
			return err
		}},
		{"MayPush", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			return r.MayPush(ctx, repo)
		}},
		{"PutManifest", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.PutManifest(ctx, repo, registry.ManifestPut{Tags: []string{"v1"}})
			return err
		}},
		{"MountBlob", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.MountBlob(ctx, repo, someDigest, registry.MountSource{Repository: "open/app"})
			return err
		}},
		{"StartUpload", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.StartUpload(ctx, repo, "")
			return err
		}},
		{"Upload", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.Upload(ctx, repo, "id")
			return err
		}},
		{"AppendUpload", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.AppendUpload(ctx, repo, "id", 0, strings.NewReader("x"))
			return err
		}},
		{"FinishUpload", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			_, err := r.FinishUpload(ctx, repo, "id", 0, nil, someDigest)
			return err
		}},
		{"CancelUpload", core.ActionPush, func(ctx context.Context, r registry.Registry, repo string) error {
			return r.CancelUpload(ctx, repo, "id")
		}},
		{"DeleteManifest", core.ActionDelete, func(ctx context.Context, r registry.Registry, repo string) error {
			return r.DeleteManifest(ctx, repo, someDigest)
		}},
		{"DeleteTag", core.ActionDelete, func(ctx context.Context, r registry.Registry, repo string) error {
			return r.DeleteTag(ctx, repo, "v1")
		}},
		{"DeleteBlob", core.ActionDelete, func(ctx context.Context, r registry.Registry, repo string) error {
			return r.DeleteBlob(ctx, repo, someDigest)
		}},
	}
}

const someDigest = digest.Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")

// taker is a registry that takes down what reaches it, and does nothing.
type taker struct {
	registry.Unsupported
	verbs  []string
	kept   []bool
	mount  registry.MountSource
	query  registry.RepositoryQuery
	body   []byte
	upload registry.Upload
}

func (r *taker) take(verb string) { r.verbs = append(r.verbs, verb) }

func (r *taker) Manifest(_ context.Context, _ string, _ registry.Reference, keep bool) (*registry.Manifest, error) {
	r.take("Manifest")
	r.kept = append(r.kept, keep)
	return nil, nil
}
func (r *taker) Blob(context.Context, string, digest.Digest) (*registry.Blob, error) {
	r.take("Blob")
	return nil, nil
}
func (r *taker) StatBlob(_ context.Context, _ string, _ digest.Digest, keep bool) (int64, error) {
	r.take("StatBlob")
	r.kept = append(r.kept, keep)
	return 0, nil
}
func (r *taker) MayPush(context.Context, string) error { r.take("MayPush"); return nil }
func (r *taker) PutManifest(context.Context, string, registry.ManifestPut) (*registry.Manifest, error) {
	r.take("PutManifest")
	return nil, nil
}
func (r *taker) MountBlob(_ context.Context, _ string, _ digest.Digest, from registry.MountSource) (int64, error) {
	r.take("MountBlob")
	r.mount = from
	return 0, nil
}
func (r *taker) StartUpload(context.Context, string, digest.Algorithm) (registry.Upload, error) {
	r.take("StartUpload")
	return registry.Upload{}, nil
}
func (r *taker) Upload(context.Context, string, string) (registry.Upload, error) {
	r.take("Upload")
	return r.upload, nil
}
func (r *taker) AppendUpload(_ context.Context, _, _ string, _ int64, body io.Reader) (u registry.Upload, err error) {
	r.take("AppendUpload")
	r.body, err = io.ReadAll(body)
	return u, err
}
func (r *taker) FinishUpload(context.Context, string, string, int64, io.Reader, digest.Digest) (int64, error) {
	r.take("FinishUpload")
	return 0, nil
}
func (r *taker) CancelUpload(context.Context, string, string) error {
	r.take("CancelUpload")
	return nil
}
func (r *taker) DeleteManifest(context.Context, string, digest.Digest) error {
	r.take("DeleteManifest")
	return nil
}
func (r *taker) DeleteTag(context.Context, string, string) error { r.take("DeleteTag"); return nil }
func (r *taker) DeleteBlob(context.Context, string, digest.Digest) error {
	r.take("DeleteBlob")
	return nil
}
func (r *taker) Repositories(_ context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	r.take("Repositories")
	r.query = q
	return registry.Page{}, nil
}
func (r *taker) Tags(context.Context, string, string, int) (registry.Page, error) {
	r.take("Tags")
	return registry.Page{}, nil
}
func (r *taker) Referrers(context.Context, string, digest.Digest, registry.ReferrerQuery) (registry.ReferrerPage, error) {
	r.take("Referrers")
	return registry.ReferrerPage{}, nil
}
