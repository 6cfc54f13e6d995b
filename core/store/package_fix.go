package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// Which tags of a repository do without a package: the newest ones, and what their documents list.

// recentManifests is how many manifests of a repository are looked at for tags, the newest ones: signatures are among them.
const recentManifests = 500

// TaggedManifest is a manifest of a repository by one of its tags.
type TaggedManifest struct {
	Tag, Digest, MediaType string
	PushedAt               time.Time
}

// RecentTags lists the tags of the newest manifests of a repository, by its id, and at most n.
func (s *Store) RecentTags(ctx context.Context, repositoryID string, n int) ([]TaggedManifest, error) {
	// CROSS JOIN: to SQLite it says in which order.
	return rows(s.reads(ctx), `SELECT t.name, l.digest, m.media_type, l.pushed_at FROM (SELECT digest, pushed_at FROM manifest_link
			WHERE repository_id = $1 ORDER BY pushed_at DESC LIMIT $2) l
		CROSS JOIN tag t CROSS JOIN manifest m WHERE t.repository_id = $1 AND t.digest = l.digest AND m.digest = l.digest
		ORDER BY l.pushed_at DESC, t.name LIMIT $3`, []any{repositoryID, recentManifests, n}, func(row func(...any) error) (t TaggedManifest, err error) {
		var pushed int64
		err = row(&t.Tag, &t.Digest, &t.MediaType, &pushed)
		t.PushedAt = db.Time(pushed)
		return t, err
	})
}

// PushedAt is when some digests came to a repository, by its id.
func (s *Store) PushedAt(ctx context.Context, repositoryID string, digests []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	var st statement
	st.add(`SELECT digest, pushed_at FROM manifest_link WHERE repository_id = ? AND digest IN `, repositoryID)
	st.in(digests)
	_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var digest string
		var pushed int64
		err := row(&digest, &pushed)
		out[digest] = db.Time(pushed)
		return struct{}{}, err
	})
	return out, err
}

// PackageVersions are the versions of a package that are known, by their ids.
func (s *Store) PackageVersions(ctx context.Context, packageID int64) (map[int64]string, error) {
	out := map[int64]string{}
	_, err := rows(s.reads(ctx), `SELECT id, version FROM package_version WHERE package_id = $1`, []any{packageID}, func(row func(...any) error) (struct{}, error) {
		var id int64
		var version string
		err := row(&id, &version)
		out[id] = version
		return struct{}{}, err
	})
	return out, err
}

// VersionsIn tells of each of some documents which of some versions it lists. One that lists none has an empty list, one that is gone
// is not there.
func (s *Store) VersionsIn(ctx context.Context, documents []int64, versions map[int64]string) (map[int64][]string, error) {
	out := map[int64][]string{}
	var st statement
	st.add(`SELECT id, list FROM sbom_document WHERE id IN `)
	st.inIDs(documents)
	_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var id int64
		var list []byte
		if err := row(&id, &list); err != nil {
			return struct{}{}, err
		}
		entries, err := parseEntries(list)
		out[id] = nil
		for _, e := range entries {
			if v, ok := versions[e.Version]; ok {
				out[id] = append(out[id], v)
			}
		}
		return struct{}{}, err
	})
	return out, err
}
