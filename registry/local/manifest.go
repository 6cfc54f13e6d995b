package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
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
	row, err := l.parse(put)
	if err != nil {
		return nil, err
	}
	tags := slices.Clone(put.Tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	err = l.write(ctx, repo, func(tx *db.Tx, r repository) error { return l.putManifest(tx, repo, r, row, tags) })
	if err != nil {
		return nil, err
	}
	return row.Manifest, nil
}

// parse checks what is pushed, and makes of it what is written.
func (l *Registry) parse(put registry.ManifestPut) (*manifestRow, error) {
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
	return newManifestRow(m, parsed)
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
	by := core.PrincipalFrom(tx.Context()).Actor()
	if err := l.linkManifest(tx, repo, r, m, now, by); err != nil {
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

// linkManifest stores a manifest and takes what it refers to.
func (l *Registry) linkManifest(tx *db.Tx, repo string, r repository, m *manifestRow, now int64, by string) error {
	lease := now + l.opt.Lease.Microseconds()
	store := storeStepwise
	if l.db.Engine() == db.Postgres {
		store = storeAtOnce
	}
	if err := store(tx, r, m, now, lease, by); err != nil {
		return err
	}
	needed := m.needed(r.sparse)
	if err := l.renewLeases(tx, "manifest_link", repo, r.id, m.children, needed, lease); err != nil {
		return err
	}
	return l.renewLeases(tx, "blob_link", repo, r.id, m.blobs, needed, lease)
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
	some, args := list([]any{id, until}, want)
	inOrder := `SELECT digest FROM ` + table + ` WHERE repository_id = $1 AND digest IN (` + some + `) ORDER BY digest`
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

// list appends values to args and is their placeholders, "$3, $4 ..". The last value is repeated until their number is a
// power of two: each text of a statement is prepared and kept, and there are to be few.
func list(args []any, values []string) (string, []any) {
	var b strings.Builder
	for i := range 1 << bits.Len(uint(len(values)-1)) {
		if i > 0 {
			b.WriteString(", ")
		}
		args = append(args, values[min(i, len(values)-1)])
		b.WriteString("$" + strconv.Itoa(len(args)))
	}
	return b.String(), args
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// columns are the values of a row of table manifest.
func (m *manifestRow) columns(now int64) []any {
	var config ocispec.Descriptor
	if m.parsed.Config != nil {
		config = *m.parsed.Config
	}
	return []any{string(m.Digest), m.MediaType, len(m.Payload), m.Payload, null(string(m.Subject)),
		m.parsed.Referrer(m.Digest, int64(len(m.Payload))).ArtifactType, m.annotations,
		string(config.Digest), config.MediaType, m.platforms, m.layersSize, now}
}

// references are the values of the manifest's rows of table manifest_reference.
func (m *manifestRow) references() (targets, kinds []string) {
	targets = slices.Concat(m.blobs, m.children)
	return targets, slices.Concat(slices.Repeat([]string{"blob"}, len(m.blobs)), slices.Repeat([]string{"manifest"}, len(m.children)))
}

const insertManifest = `INSERT INTO manifest (digest, media_type, size, payload, subject, artifact_type, annotations,
	config_digest, config_type, platforms, layers_size, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
	ON CONFLICT (digest) DO NOTHING`

// storeStepwise writes a manifest with what it refers to, unless some repository brought it before, links it into the
// repository and charges the project.
func storeStepwise(tx *db.Tx, r repository, m *manifestRow, now, lease int64, by string) error {
	n, err := tx.Exec(insertManifest, m.columns(now)...)
	if err == nil && n > 0 {
		err = insertReferences(tx, m)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO manifest_link (repository_id, digest, subject, leased_until, pushed_at, pushed_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until`,
		r.id, string(m.Digest), null(string(m.Subject)), lease, now, by); err != nil {
		return err
	}
	return charge(tx, r.project, m.Digest, int64(len(m.Payload)))
}

func insertReferences(tx *db.Tx, m *manifestRow) error {
	const most = 200 // rows of one statement
	targets, kinds := m.references()
	for from := 0; from < len(targets); from += most {
		args := []any{string(m.Digest)}
		var values []string
		for i := from; i < min(from+most, len(targets)); i++ {
			values = append(values, "($1, $"+strconv.Itoa(len(args)+1)+", $"+strconv.Itoa(len(args)+2)+")")
			args = append(args, targets[i], kinds[i])
		}
		if _, err := tx.Exec(`INSERT INTO manifest_reference (manifest, target, kind) VALUES `+strings.Join(values, ", "), args...); err != nil {
			return err
		}
	}
	return nil
}

// storeAtOnce is storeStepwise in one statement (see linkAtOnce). The repository is locked before all else: whoever
// deletes it waits for us, or we for him, and then it is gone.
func storeAtOnce(tx *db.Tx, r repository, m *manifestRow, now, lease int64, by string) error {
	targets, kinds := m.references()
	var id string
	err := tx.QueryRow(`WITH home AS (
			SELECT id, project_id FROM repository WHERE id = $13 FOR KEY SHARE
		), stored AS (
			`+insertManifest+` RETURNING digest
		), referring AS (
			INSERT INTO manifest_reference (manifest, target, kind) SELECT stored.digest, r.target, r.kind
			FROM stored, unnest(CAST($14 AS TEXT[]), CAST($15 AS TEXT[])) AS r (target, kind)
		), linked AS (
			INSERT INTO manifest_link (repository_id, digest, subject, leased_until, pushed_at, pushed_by)
			SELECT home.id, CAST($1 AS TEXT), CAST($5 AS TEXT), CAST($16 AS BIGINT), CAST($12 AS BIGINT), CAST($17 AS TEXT) FROM home
			ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until RETURNING repository_id
		), charged AS (
			INSERT INTO project_blob (project_id, digest, size)
			SELECT home.project_id, CAST($1 AS TEXT), CAST($3 AS BIGINT) FROM home, linked WHERE CAST($18 AS BOOLEAN)
			ON CONFLICT (project_id, digest) DO UPDATE SET size = excluded.size WHERE project_blob.size <> excluded.size
		) SELECT repository_id FROM linked`,
		append(m.columns(now), r.id, targets, kinds, lease, by, charged(tx.Context()))...).Scan(&id)
	if errors.Is(err, db.ErrNoRows) {
		err = errors.New("the repository was deleted meanwhile") // write looks again
	}
	return err
}

func (l *Registry) putTags(tx *db.Tx, repo, id, d string, tags []string, now int64, by string) error {
	for _, t := range tags {
		if _, err := tx.Exec(`INSERT INTO tag (repository_id, name, digest, created_at, updated_at, updated_by) VALUES ($1, $2, $3, $4, $4, $5)
			ON CONFLICT (repository_id, name) DO UPDATE SET previous = tag.digest, digest = excluded.digest, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
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
		err := tx.QueryRow(`UPDATE blob_link SET leased_until = $3 WHERE digest = $2
			AND repository_id = (SELECT id FROM repository WHERE name = $1)
			RETURNING (SELECT size FROM blob WHERE digest = $2)`, source, string(d), lease).Scan(&size)
		if errors.Is(err, db.ErrNoRows) {
			return blobUnknown(source, d)
		}
		if err != nil {
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
	err := l.db.Query(ctx, `SELECT r.name FROM blob_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $1 LIMIT `+strconv.Itoa(mountCandidates),
		[]any{string(d)}, func(scan func(...any) error) error {
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
