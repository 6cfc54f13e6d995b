package local

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

// PutManifest implements registry.Writer.
func (l *Registry) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	parsed, err := registry.ParseManifest(put.MediaType, put.Payload, l.opt.Manifest)
	if err != nil {
		return nil, err
	}
	for _, t := range put.Tags {
		if !registry.ValidTag(t) {
			return nil, registry.NewError(registry.CodeTagInvalid, "a tag has up to 128 letters, digits, dots, dashes and underscores, and begins with neither dot nor dash.")
		}
	}
	alg := digest.SHA256
	if put.Digest != "" {
		if _, err := registry.ParseDigest(string(put.Digest)); err != nil {
			return nil, err
		}
		alg = put.Digest.Algorithm()
	}
	d := alg.FromBytes(put.Payload)
	if put.Digest != "" && d != put.Digest {
		return nil, registry.NewError(registry.CodeDigestInvalid, fmt.Sprintf("the manifest has digest %s, not %s.", d, put.Digest))
	}
	m := &registry.Manifest{Digest: d, MediaType: parsed.MediaType, Payload: put.Payload}
	if parsed.Subject != nil {
		m.Subject = parsed.Subject.Digest
	}
	tags := slices.Clone(put.Tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	row, err := newManifestRow(m, parsed)
	if err != nil {
		return nil, err
	}
	err = l.write(ctx, repo, func(tx *db.Tx, r repository) error { return l.putManifest(tx, repo, r, row, tags) })
	if err != nil {
		return nil, err
	}
	return m, nil
}

// manifestRow is a manifest with everything that is written of it, made before the transaction begins.
type manifestRow struct {
	*registry.Manifest
	parsed      *registry.ParsedManifest
	blobs       []string // what has to be linked, sorted
	children    []string
	annotations string
	platforms   string
	layersSize  int64
}

func newManifestRow(m *registry.Manifest, parsed *registry.ParsedManifest) (*manifestRow, error) {
	row := &manifestRow{Manifest: m, parsed: parsed, blobs: digests(parsed.Blobs()), children: digests(parsed.Children())}
	if len(parsed.Annotations) > 0 {
		b, err := json.Marshal(parsed.Annotations)
		if err != nil {
			return nil, err
		}
		row.annotations = string(b)
	}
	var platforms []*ocispec.Platform
	for _, c := range parsed.Manifests {
		if c.Platform != nil {
			platforms = append(platforms, c.Platform)
		}
	}
	if len(platforms) > 0 {
		b, err := json.Marshal(platforms)
		if err != nil {
			return nil, err
		}
		row.platforms = string(b)
	}
	if parsed.Config != nil {
		row.layersSize = parsed.Config.Size
	}
	for _, layer := range parsed.Layers {
		row.layersSize += layer.Size
	}
	return row, nil
}

func digests(ds []ocispec.Descriptor) []string {
	out := make([]string, 0, len(ds))
	for _, d := range ds {
		out = append(out, string(d.Digest))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// putManifest is the transaction of a push. Presence is never looked up but taken: renewing a lease locks the row, so
// nothing that the manifest refers to can go between the check and the commit.
func (l *Registry) putManifest(tx *db.Tx, repo string, r repository, m *manifestRow, tags []string) error {
	now := tx.Now()
	lease := now + l.opt.Lease.Microseconds()
	by := core.PrincipalFrom(tx.Context()).Actor()
	if err := insertManifest(tx, m, now); err != nil {
		return err
	}
	// The link comes first, because with it we wait for whoever deletes the repository, who waits for nobody of us then.
	if _, err := tx.Exec(`INSERT INTO manifest_link (repository_id, digest, subject, leased_until, pushed_at, pushed_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until`,
		r.id, string(m.Digest), null(string(m.Subject)), lease, now, by); err != nil {
		return err
	}
	needed := m.needed(r.sparse)
	if err := l.renewLeases(tx, "manifest_link", repo, r.id, m.children, needed, lease); err != nil {
		return err
	}
	if err := l.renewLeases(tx, "blob_link", repo, r.id, m.blobs, needed, lease); err != nil {
		return err
	}
	if err := charge(tx, r.project, m.Digest, int64(len(m.Payload))); err != nil {
		return err
	}
	if err := l.putTags(tx, repo, r.id, string(m.Digest), tags, now, by); err != nil {
		return err
	}
	if !r.pushed {
		if _, err := tx.Exec(`UPDATE repository SET pushed_at = $2 WHERE id = $1 AND pushed_at = 0`, r.id, now); err != nil {
			return err
		}
	}
	return l.record(tx, Event{Kind: ManifestPushed, ProjectID: r.project, Repository: repo, Digest: m.Digest,
		MediaType: m.MediaType, Tags: tags, Subject: m.Subject})
}

// needed reports whether a digest that the manifest refers to has to be there. In a project that allows sparse content
// only the config does: layers and children may be missing, as a mirror of some platforms has it.
func (m *manifestRow) needed(sparse bool) func(d string) bool {
	return func(d string) bool {
		return !sparse || (m.parsed.Config != nil && d == string(m.parsed.Config.Digest))
	}
}

// renewLeases renews the lease of everything that is about to be referred to, and names what is needed and not there.
// The rows are locked in order of digest: images of one repository share layers, and whoever pushes two of them at once
// would otherwise stand in a circle again and again.
func (l *Registry) renewLeases(tx *db.Tx, table, repo, id string, want []string, needed func(string) bool, until int64) error {
	if len(want) == 0 {
		return nil
	}
	args := []any{id, until}
	for _, d := range want {
		args = append(args, d)
	}
	inOrder := `SELECT digest FROM ` + table + ` WHERE repository_id = $1 AND digest IN (` + list(3, len(want)) + `) ORDER BY digest`
	if l.db.Engine() == db.Postgres {
		inOrder += ` FOR NO KEY UPDATE`
	}
	got := map[string]bool{}
	err := tx.Query(`UPDATE `+table+` SET leased_until = $2 WHERE repository_id = $1 AND digest IN (`+inOrder+`) RETURNING digest`, args,
		func(scan func(...any) error) error {
			var d string
			err := scan(&d)
			got[d] = true
			return err
		})
	if err != nil || len(got) == len(want) {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(d string) bool { return got[d] || !needed(d) })
	if len(missing) == 0 {
		return nil
	}
	return &registry.Error{Code: registry.CodeManifestBlobUnknown, Detail: map[string][]string{"digests": missing},
		Message: fmt.Sprintf("repository %s does not have %s, which the manifest refers to: push it first.", repo, strings.Join(missing, ", "))}
}

// list is "$from, .." with n placeholders.
func list(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	return b.String()
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// insertManifest writes the manifest and what it refers to, unless some repository brought it before.
func insertManifest(tx *db.Tx, m *manifestRow, now int64) error {
	var config ocispec.Descriptor
	if m.parsed.Config != nil {
		config = *m.parsed.Config
	}
	n, err := tx.Exec(`INSERT INTO manifest (digest, media_type, size, payload, subject, artifact_type, annotations,
		config_digest, config_type, platforms, layers_size, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (digest) DO NOTHING`,
		string(m.Digest), m.MediaType, len(m.Payload), m.Payload, null(string(m.Subject)),
		m.parsed.Referrer(m.Digest, int64(len(m.Payload))).ArtifactType, m.annotations,
		string(config.Digest), config.MediaType, m.platforms, m.layersSize, now)
	if err != nil || n == 0 {
		return err
	}
	type reference struct{ target, kind string }
	var refs []reference
	for _, d := range m.blobs {
		refs = append(refs, reference{d, "blob"})
	}
	for _, d := range m.children {
		refs = append(refs, reference{d, "manifest"})
	}
	for chunk := range slices.Chunk(refs, 200) {
		args := []any{string(m.Digest)}
		var values []string
		for _, r := range chunk {
			values = append(values, "($1, $"+strconv.Itoa(len(args)+1)+", $"+strconv.Itoa(len(args)+2)+")")
			args = append(args, r.target, r.kind)
		}
		if _, err := tx.Exec(`INSERT INTO manifest_reference (manifest, target, kind) VALUES `+strings.Join(values, ", "), args...); err != nil {
			return err
		}
	}
	return nil
}

func (l *Registry) putTags(tx *db.Tx, repo, id, d string, tags []string, now int64, by string) error {
	for _, t := range tags {
		if _, err := tx.Exec(`INSERT INTO tag (repository_id, name, digest, created_at, updated_at, updated_by) VALUES ($1, $2, $3, $4, $4, $5)
			ON CONFLICT (repository_id, name) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
			id, t, d, now, by); err != nil {
			return err
		}
		l.changed(tx, changeTag, repo, t)
	}
	return nil
}

// MountBlob implements registry.Writer.
func (l *Registry) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	source, err := l.mountSource(ctx, repo, d, from)
	if err != nil {
		return 0, err
	}
	var size int64
	err = l.write(ctx, repo, func(tx *db.Tx, r repository) error {
		lease := tx.Now() + l.opt.Lease.Microseconds()
		n, err := tx.Exec(`UPDATE blob_link SET leased_until = $3 WHERE digest = $2
			AND repository_id = (SELECT id FROM repository WHERE name = $1)`, source, string(d), lease)
		if err != nil {
			return err
		}
		if n == 0 {
			return blobUnknown(source, d)
		}
		if err := tx.QueryRow(`SELECT size FROM blob WHERE digest = $1`, string(d)).Scan(&size); err != nil {
			return err
		}
		return linkBlob(tx, r.id, r.project, d, size, lease)
	})
	return size, err
}

// mountCandidates is how many repositories are asked about when a mount names none.
const mountCandidates = 100

// mountSource finds a repository to mount from. It is blobUnknown whatever the reason, so that nothing can be learned.
func (l *Registry) mountSource(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (string, error) {
	unknown := blobUnknown(repo, d)
	if from.Allowed == nil {
		return "", unknown
	}
	if from.Repository != "" {
		if !registry.ValidName(from.Repository) || !from.Allowed(ctx, from.Repository) {
			return "", unknown
		}
		return from.Repository, nil
	}
	var names []string
	err := l.db.Query(ctx, `SELECT r.name FROM blob_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $1 LIMIT $2`,
		[]any{string(d), mountCandidates}, func(scan func(...any) error) error {
			var n string
			err := scan(&n)
			names = append(names, n)
			return err
		})
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if from.Allowed(ctx, n) {
			return n, nil
		}
	}
	return "", unknown
}
