package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// oneImage is a hub with a registry, two images in a repository, and a scan job that runs.
type oneImage struct {
	*hub
	reg           registry.Registry
	mine, other   digest.Digest
	config, layer digest.Digest
	foreign       digest.Digest // layer of the other image
	token         string
}

func newOneImage(t *testing.T, h *hub) *oneImage {
	loc, err := local.New(h.db, memory.New(memory.Options{}), local.Options{})
	h.ok(err)
	o := &oneImage{hub: h, reg: access.Wrap(loc, store.NewDirectory(h.store))}
	h.project("team", core.Private, nil)
	h.project("open", core.Public, nil)
	for _, repository := range []string{"team/app", "team/other", "open/app"} {
		o.config, o.layer, o.mine = o.push(repository, "mine")
		_, o.foreign, o.other = o.push(repository, "other")
	}
	o.job("job", "scan", "running", 7, time.Hour)
	o.token, err = h.OneImageToken(h.ctx, "job", core.OneImage{Kind: "scan", Fence: 7, Repository: "team/app", Digest: string(o.mine)})
	h.ok(err)
	return o
}

func (h *hub) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (o *oneImage) push(repository, content string) (config, layer, manifest digest.Digest) {
	o.t.Helper()
	blob := func(mediaType, text string) ocispec.Descriptor {
		d := digest.FromString(text)
		u, err := o.reg.StartUpload(o.ctx, repository, digest.SHA256)
		o.ok(err)
		_, err = o.reg.FinishUpload(o.ctx, repository, u.ID, 0, bytes.NewReader([]byte(text)), d)
		o.ok(err)
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(text))}
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: blob(ocispec.MediaTypeImageConfig, `{"of":"`+content+`"}`),
		Layers: []ocispec.Descriptor{blob(ocispec.MediaTypeImageLayer, content)}}
	m.SchemaVersion = 2
	payload, err := json.Marshal(m)
	o.ok(err)
	manifest = digest.FromBytes(payload)
	_, err = o.reg.PutManifest(o.ctx, repository, registry.ManifestPut{Digest: manifest, MediaType: m.MediaType, Payload: payload, Tags: []string{content}})
	o.ok(err)
	return m.Config.Digest, m.Layers[0].Digest, manifest
}

func (o *oneImage) job(id, kind, state string, fence int64, lease time.Duration) {
	o.t.Helper()
	o.ok(o.db.Write(o.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO job (id, kind, state, payload, max_attempts, run_at, created_at, fence, lease_until)
			VALUES ($1, $2, $3, '{}', 8, 0, 0, $4, $5)`, id, kind, state, fence, tx.Now()+lease.Microseconds())
		return err
	}))
}

func (o *oneImage) set(assignment string) {
	o.t.Helper()
	o.ok(o.db.Write(o.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE job SET ` + assignment + ` WHERE id = 'job'`)
		return err
	}))
}

// bearer is who comes with a token under /v2.
func (o *oneImage) bearer(token string) (*core.Principal, error) {
	r := request(http.MethodGet, "/v2/")
	r.Header.Set("Authorization", "Bearer "+token)
	return o.Registry(r)
}

// fresh is the same token as if it had never been seen.
func (o *oneImage) fresh() (*core.Principal, error) {
	o.tokens.verified.InvalidateAll()
	return o.bearer(o.token)
}

// V-10: the token of a scan reads one image, by its digest and with its blobs, and is good for nothing else.
func TestV10OneImageToken(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		o := newOneImage(t, h)
		p, err := o.bearer(o.token)
		o.ok(err)
		ctx := core.WithPrincipal(context.Background(), p)
		if p.Kind != core.KindJob || p.Admin || p.Actor() != "job:job" {
			t.Errorf("%+v", p)
		}
		by := func(d digest.Digest) registry.Reference { return registry.Reference{Digest: d} }
		m, err := o.reg.Manifest(ctx, "team/app", by(o.mine), true)
		if err != nil || m.Digest != o.mine {
			t.Fatalf("its own image: %v", err)
		}
		for _, d := range []digest.Digest{o.config, o.layer} {
			b, err := o.reg.Blob(ctx, "team/app", d)
			if err != nil {
				t.Fatalf("its own blob: %v", err)
			}
			b.Content.Close()
			if _, err := o.reg.StatBlob(ctx, "team/app", d, true); err != nil {
				t.Errorf("its own blob: %v", err)
			}
		}
		for name, try := range map[string]func() error{
			"its tag": func() error {
				_, err := o.reg.Manifest(ctx, "team/app", registry.Reference{Tag: "mine"}, false)
				return err
			},
			"another image":            func() error { _, err := o.reg.Manifest(ctx, "team/app", by(o.other), false); return err },
			"it in another repository": func() error { _, err := o.reg.Manifest(ctx, "team/other", by(o.mine), false); return err },
			"what everybody may pull":  func() error { _, err := o.reg.Manifest(ctx, "open/app", by(o.mine), false); return err },
			"another blob":             func() error { _, err := o.reg.Blob(ctx, "team/app", o.foreign); return err },
			"whether it is there":      func() error { _, err := o.reg.StatBlob(ctx, "team/app", o.foreign, false); return err },
			"the manifest as a blob":   func() error { _, err := o.reg.Blob(ctx, "team/app", o.mine); return err },
			"its blob elsewhere":       func() error { _, err := o.reg.Blob(ctx, "team/other", o.layer); return err },
			"a blob that is not there": func() error { _, err := o.reg.Blob(ctx, "team/app", digest.FromString("none")); return err },
			"tags":                     func() error { _, err := o.reg.Tags(ctx, "team/app", "", 10); return err },
			"referrers":                func() error { _, err := o.reg.Referrers(ctx, "team/app", o.mine, registry.ReferrerQuery{}); return err },
			"the catalog":              func() error { _, err := o.reg.Repositories(ctx, registry.RepositoryQuery{N: 10}); return err },
			"a push":                   func() error { _, err := o.reg.StartUpload(ctx, "team/app", digest.SHA256); return err },
			"whether it may push":      func() error { return o.reg.MayPush(ctx, "team/app") },
			"a tag": func() error {
				_, err := o.reg.PutManifest(ctx, "team/app", registry.ManifestPut{MediaType: m.MediaType, Payload: m.Payload, Tags: []string{"x"}})
				return err
			},
			"a mount": func() error {
				_, err := o.reg.MountBlob(ctx, "team/app", o.layer, registry.MountSource{Repository: "open/app"})
				return err
			},
			"a deletion":            func() error { return o.reg.DeleteManifest(ctx, "team/app", o.mine) },
			"a deletion of its tag": func() error { return o.reg.DeleteTag(ctx, "team/app", "mine") },
			"a deletion of a blob":  func() error { return o.reg.DeleteBlob(ctx, "team/app", o.layer) },
		} {
			if code := registry.CodeOf(try()); code != registry.CodeDenied && code != registry.CodeUnauthorized {
				t.Errorf("%s: %v", name, code)
			}
		}
		// Nor is it a way into the API, or to another token.
		r := request(http.MethodGet, "/api/v1/users/me")
		r.Header.Set("Authorization", "Bearer "+o.token)
		if _, err := o.API(r); core.CodeOf(err) != core.CodeInvalid && core.CodeOf(err) != core.CodeUnauthenticated {
			t.Errorf("under /api: %v", err)
		}
		granted, err := o.guard.Granted(ctx, p, []access.Scope{{Type: access.TypeRepository, Name: "open/app", Actions: core.RepositoryActions()},
			{Type: access.TypeRepository, Name: "team/app", Actions: core.RepositoryActions()}})
		if err != nil || len(granted) != 0 {
			t.Errorf("it was granted %v, %v", granted, err)
		}
	})
}

// The token dies with the try of the job that it was made for.
func TestV10OneImageTokenDies(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		o := newOneImage(t, h)
		for name, end := range map[string]string{"done": "state = 'done'", "queued again": "state = 'queued'", "taken by another worker": "fence = 8",
			"cancelled": "cancel = TRUE", "of a dead worker": "lease_until = 1", "of another kind": "kind = 'other'"} {
			if _, err := o.fresh(); err != nil {
				t.Fatalf("before it was %s: %v", name, err)
			}
			o.set(end)
			if _, err := o.fresh(); core.CodeOf(err) != core.CodeUnauthenticated {
				t.Errorf("%s: %v", name, err)
			}
			o.ok(o.db.Write(o.ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE job SET state = 'running', fence = 7, cancel = $1, kind = 'scan', lease_until = $2 WHERE id = 'job'`, false, tx.Now()+int64(time.Hour/time.Microsecond))
				return err
			}))
		}
		// What is believed without asking is believed for a second.
		v, err := o.tokens.verify(o.ctx, o.token)
		o.ok(err)
		if _, err := o.tokenPrincipal(o.ctx, v); err != nil {
			t.Fatal(err)
		}
		if b := v.bound.Load(); b.until.IsZero() || b.until.Sub(o.store.Now()) > oneImageSure {
			t.Errorf("it is believed until %v", b.until)
		}
		if life := time.Duration(v.Expires-v.NotBefore) * time.Second; life != OneImageLife {
			t.Errorf("it lives %s", life)
		}
	})
}

// A token that is signed and says something else is none: a job without an image, a user with one, a life that is too long.
func TestV10OneImageForgeries(t *testing.T) {
	h := sqliteHub(t)
	o := newOneImage(t, h)
	image := map[string]any{"kind": "scan", "fence": 7, "repository": "team/app", "digest": string(o.mine)}
	for name, change := range map[string]func(map[string]any){
		"a job without an image":  func(m map[string]any) { m["sub"] = "job:job" },
		"nobody with an image":    func(m map[string]any) { m["image"] = image },
		"another job":             func(m map[string]any) { m["sub"], m["image"] = "job:none", image },
		"a life that is too long": func(m map[string]any) { m["sub"], m["image"], m["exp"] = "job:job", image, m["nbf"].(int64)+901 },
	} {
		payload := h.goodClaims(change)
		if _, err := o.bearer(sign(h.currentKey(), []byte(payload))); core.CodeOf(err) != core.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := h.goodClaims(func(m map[string]any) { m["sub"], m["image"], m["exp"] = "job:job", image, m["nbf"].(int64)+900 })
	if _, err := o.bearer(sign(h.currentKey(), []byte(good))); err != nil {
		t.Errorf("what is as it should be: %v", err)
	}
}
