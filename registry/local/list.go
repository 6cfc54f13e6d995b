package local

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
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
	// The subquery says which names; in which order an aggregate takes them is the engine's affair. Having it sort them
	// costs more than all the rest.
	if !slices.IsSorted(p.Names) {
		slices.Sort(p.Names)
	}
	if len(p.Names) > n {
		p.Names, p.More = p.Names[:n], true
	}
	return p, nil
}

// rows is the LIMIT of a page of n names: one of a few texts, because SQLite plans a statement anew for each value of a
// parameter there. What is too much is cut.
func rows(n int) string {
	switch {
	case n <= 11:
		return "11"
	case n <= 101:
		return "101"
	case n <= referrersPage+1:
		return strconv.Itoa(referrersPage + 1)
	case n <= 1001:
		return "1001"
	}
	return strconv.Itoa(n) // a hub that was told to have longer pages
}

// Tags implements registry.Lister.
func (l *Registry) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	var p registry.Page
	var err error
	if n > 0 {
		p, err = l.names(ctx, n, `SELECT string_agg(name, ' ') FROM (SELECT t.name FROM tag t
			WHERE t.repository_id = (SELECT id FROM repository WHERE name = $1) AND t.name > $2 ORDER BY t.name LIMIT `+rows(n+1)+`) AS page`, repo, after)
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
		return l.names(ctx, q.N, `SELECT string_agg(name, ' ') FROM (SELECT r.name FROM repository r
			WHERE r.name > $1 AND r.pushed_at > 0 ORDER BY r.name LIMIT `+rows(q.N+1)+`) AS page`, q.After)
	}
	visible, err := l.visible(ctx, q)
	if err != nil || len(visible) == 0 {
		return registry.Page{}, err
	}
	if len(visible) == 1 {
		return l.names(ctx, q.N, `SELECT string_agg(name, ' ') FROM (SELECT r.name FROM repository r
			WHERE r.project_id = $1 AND r.name > $2 AND r.pushed_at > 0 ORDER BY r.name LIMIT `+rows(q.N+1)+`) AS page`, visible[0], q.After)
	}
	args := []any{q.After, q.Public}
	projects := ""
	if len(q.Projects) > 0 {
		projects, args = list(args, q.Projects)
		projects = ` OR p.name IN (` + projects + `)`
	}
	return l.names(ctx, q.N, `SELECT string_agg(name, ' ') FROM (SELECT r.name FROM repository r
		WHERE r.name > $1 AND r.pushed_at > 0 AND r.project_id IN (SELECT p.id FROM project p WHERE ($2 AND p.visibility = 'public')`+projects+`)
		ORDER BY r.name LIMIT `+rows(q.N+1)+`) AS page`, args...)
}

// visible returns the ids of projects that a query sees, not more than two. Mostly it sees none or one, whose names lie
// together in an index; the engines' plan for any number of projects looks at the names of all the others.
func (l *Registry) visible(ctx context.Context, q registry.RepositoryQuery) ([]string, error) {
	var some []string
	var args []any
	if q.Public {
		some = append(some, `SELECT id FROM project WHERE visibility = 'public'`)
	}
	if len(q.Projects) > 0 {
		var names string
		names, args = list(nil, q.Projects)
		some = append(some, `SELECT id FROM project WHERE name IN (`+names+`)`)
	}
	// A project may be both public and named, so that two are known to be there among three rows.
	var ids []string
	err := l.db.Query(ctx, strings.Join(some, ` UNION ALL `)+` LIMIT 3`, args, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return err
	})
	return ids[:min(len(ids), 2)], err
}

const (
	// referrersPage is how many referrers a page has, and referrersBytes how large it may become.
	referrersPage  = 200
	referrersBytes = 4 << 20
)

// Referrers implements registry.Lister. Besides the manifests whose subject is d it lists those without a subject in the
// index that clients without the referrers API keep at a tag named after d.
func (l *Registry) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	n := q.N
	if n <= 0 || n > referrersPage {
		n = referrersPage
	}
	fallback, err := l.fallbackReferrers(ctx, repo, d)
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	which := `l.subject = $4`
	args := []any{repo, q.After, q.ArtifactType, string(d), n, referrersBytes}
	if len(fallback) > 0 {
		which, args = list(args, fallback)
		which = `(l.subject = $4 OR (l.subject IS NULL AND l.digest IN (` + which + `)))`
	}
	var page registry.ReferrerPage
	total := 0
	// Lengths first: annotations may have megabytes, and what does not fit into the page is not even read.
	err = l.db.Query(ctx, `SELECT m.digest, m.media_type, m.size, m.artifact_type, m.annotations, page.total FROM (
			SELECT digest, count(*) OVER () AS total, row_number() OVER (ORDER BY digest) AS place, sum(bytes) OVER (ORDER BY digest) AS upto FROM (
				SELECT l.digest, octet_length(m.annotations) + 300 AS bytes FROM manifest_link l JOIN manifest m ON m.digest = l.digest
				WHERE l.repository_id = (SELECT id FROM repository WHERE name = $1) AND l.digest > $2 AND ($3 = '' OR m.artifact_type = $3)
				AND `+which+` ORDER BY l.digest LIMIT `+rows(n+1)+`) AS found
		) AS page JOIN manifest m ON m.digest = page.digest
		WHERE page.place <= $5 AND (page.place = 1 OR page.upto <= $6) ORDER BY page.digest`, args,
		func(scan func(...any) error) error {
			r, err := scanReferrer(scan, &total)
			page.Manifests = append(page.Manifests, r)
			return err
		})
	if k := len(page.Manifests); k < total {
		page.Next = string(page.Manifests[k-1].Digest)
	}
	return page, err
}

func scanReferrer(scan func(...any) error, total *int) (ocispec.Descriptor, error) {
	var d ocispec.Descriptor
	var annotations string
	if err := scan(&d.Digest, &d.MediaType, &d.Size, &d.ArtifactType, &annotations, total); err != nil {
		return d, err
	}
	if annotations == "" {
		return d, nil
	}
	return d, json.Unmarshal([]byte(annotations), &d.Annotations)
}

// fallbackReferrers reads the index at the fallback tag of d, if there is one (distribution-spec 1.1, "Referrers Tag Schema").
func (l *Registry) fallbackReferrers(ctx context.Context, repo string, d digest.Digest) ([]string, error) {
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
	var out []string
	for _, c := range parsed.Manifests {
		out = append(out, string(c.Digest))
	}
	return out, nil
}
