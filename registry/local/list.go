package local

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

// names reads a page of names as one row: a driver takes microseconds for each row, the engine none for each name. What
// is listed contains no space.
func (l *Registry) names(ctx context.Context, n int, query string, args ...any) (registry.Page, error) {
	var joined *string
	err := l.db.QueryRow(ctx, query, args...).Scan(&joined)
	if errors.Is(err, db.ErrNoRows) || (err == nil && joined == nil) {
		return registry.Page{}, nil
	}
	if err != nil {
		return registry.Page{}, err
	}
	p := registry.Page{Names: strings.Split(*joined, " ")}
	if len(p.Names) > n {
		p.Names, p.More = p.Names[:n], true
	}
	return p, nil
}

// Tags implements registry.Lister.
func (l *Registry) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	var p registry.Page
	var err error
	if n > 0 {
		p, err = l.names(ctx, n, `SELECT string_agg(name, ' ' ORDER BY name) FROM (SELECT t.name FROM tag t
			WHERE t.repository_id = (SELECT id FROM repository WHERE name = $1) AND t.name > $2 ORDER BY t.name LIMIT $3) AS page`, repo, after, n+1)
	}
	if err == nil && len(p.Names) == 0 {
		err = l.exists(ctx, repo, nil)
	}
	return p, err
}

// Repositories implements registry.Lister.
func (l *Registry) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	if q.N <= 0 || !(q.All || q.Public || len(q.Projects) > 0) {
		return registry.Page{}, nil
	}
	if q.Match == nil {
		return l.repositoryPage(ctx, q)
	}
	// What Match leaves out is made up for by further pages, so that a page is only short when it is the last.
	var out registry.Page
	want := q.N
	q.N = max(want, 100)
	for {
		p, err := l.repositoryPage(ctx, q)
		if err != nil {
			return registry.Page{}, err
		}
		for _, name := range p.Names {
			if !q.Match(name) {
				continue
			}
			if len(out.Names) == want {
				out.More = true
				return out, nil
			}
			out.Names = append(out.Names, name)
		}
		if !p.More {
			return out, nil
		}
		q.After = p.Names[len(p.Names)-1]
	}
}

func (l *Registry) repositoryPage(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	if q.All {
		return l.names(ctx, q.N, `SELECT string_agg(name, ' ' ORDER BY name) FROM (SELECT r.name FROM repository r
			WHERE r.name > $1 AND r.pushed_at > 0 ORDER BY r.name LIMIT $2) AS page`, q.After, q.N+1)
	}
	args := []any{q.After, q.N + 1, q.Public}
	for _, p := range q.Projects {
		args = append(args, p)
	}
	projects := ""
	if len(q.Projects) > 0 {
		projects = ` OR p.name IN (` + list(4, len(q.Projects)) + `)`
	}
	return l.names(ctx, q.N, `SELECT string_agg(name, ' ' ORDER BY name) FROM (SELECT r.name FROM repository r JOIN project p ON p.id = r.project_id
		WHERE r.name > $1 AND r.pushed_at > 0 AND (($3 AND p.visibility = 'public')`+projects+`) ORDER BY r.name LIMIT $2) AS page`, args...)
}

const (
	// referrersPage is how many referrers a page has, and referrersBytes how large it may become.
	referrersPage  = 200
	referrersBytes = 4 << 20
)

// Referrers implements registry.Lister. Besides the manifests whose subject is d it lists the entries of the index that
// clients without the referrers API keep at a tag named after d.
func (l *Registry) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	n := q.N
	if n <= 0 || n > referrersPage {
		n = referrersPage
	}
	found, err := l.referrerRows(ctx, n+1, repo, q, `l.subject = $5`, string(d))
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	fallback, err := l.fallbackReferrers(ctx, repo, d)
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	for chunk := range slices.Chunk(fallback, 200) {
		more, err := l.referrerRows(ctx, n+1, repo, q, `(l.subject IS NULL OR l.subject <> $5) AND l.digest IN (`+list(6, len(chunk))+`)`, append([]any{string(d)}, chunk...)...)
		if err != nil {
			return registry.ReferrerPage{}, err
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return cutPage(found, n), nil
}

// cutPage ends a page where it has enough entries or bytes.
func cutPage(found []ocispec.Descriptor, n int) registry.ReferrerPage {
	bytes := 0
	for i, f := range found {
		for k, v := range f.Annotations {
			bytes += len(k) + len(v) + 8
		}
		bytes += 300 + len(f.ArtifactType) + len(f.MediaType)
		if i == n || (i > 0 && bytes > referrersBytes) {
			return registry.ReferrerPage{Manifests: found[:i], Next: string(found[i-1].Digest)}
		}
	}
	return registry.ReferrerPage{Manifests: found}
}

// referrerRows reads manifests of a repository as referrers, in order of digest.
func (l *Registry) referrerRows(ctx context.Context, n int, repo string, q registry.ReferrerQuery, where string, more ...any) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	args := append([]any{repo, q.After, q.ArtifactType, n}, more...)
	err := l.db.Query(ctx, `SELECT m.digest, m.media_type, m.size, m.artifact_type, m.annotations
		FROM manifest_link l JOIN manifest m ON m.digest = l.digest
		WHERE l.repository_id = (SELECT id FROM repository WHERE name = $1) AND l.digest > $2 AND ($3 = '' OR m.artifact_type = $3)
		AND `+where+` ORDER BY l.digest LIMIT $4`, args, func(scan func(...any) error) error {
		var d ocispec.Descriptor
		var annotations string
		if err := scan(&d.Digest, &d.MediaType, &d.Size, &d.ArtifactType, &annotations); err != nil {
			return err
		}
		if annotations != "" {
			if err := json.Unmarshal([]byte(annotations), &d.Annotations); err != nil {
				return err
			}
		}
		out = append(out, d)
		return nil
	})
	return out, err
}

// fallbackReferrers reads the index at the fallback tag of d, if there is one (distribution-spec 1.1, "Referrers Tag Schema").
func (l *Registry) fallbackReferrers(ctx context.Context, repo string, d digest.Digest) ([]any, error) {
	m, err := l.Manifest(ctx, repo, registry.Reference{Tag: registry.FallbackTag(d)}, false)
	switch registry.CodeOf(err) {
	case "":
	case registry.CodeManifestUnknown, registry.CodeNameUnknown:
		return nil, nil
	default:
		return nil, err
	}
	if registry.ManifestKindOf(m.MediaType) != registry.KindIndex {
		return nil, nil
	}
	parsed, err := registry.ParseManifest(m.MediaType, m.Payload, l.opt.Manifest)
	if err != nil {
		return nil, nil //nolint:nilerr // limits were lowered since it was pushed
	}
	var out []any
	for _, c := range parsed.Manifests {
		out = append(out, string(c.Digest))
	}
	return out, nil
}

// Usage is what a project holds, in bytes, each digest counted once.
func Usage(ctx context.Context, d *db.DB, projectID string) (bytes int64, err error) {
	err = d.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM project_blob WHERE project_id = $1`, projectID).Scan(&bytes)
	return bytes, err
}
