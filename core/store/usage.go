package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
)

// Usage is what a project holds.
type Usage struct {
	Bytes        int64 // each digest once
	Repositories int64
}

// Usage adds up what a project holds.
func (s *Store) Usage(ctx context.Context, p *core.Project) (Usage, error) {
	u, _, err := row(s.reads(ctx), `SELECT (SELECT COALESCE(SUM(size), 0) FROM project_blob WHERE project_id = $1),
		(SELECT COUNT(*) FROM repository WHERE project_id = $1 AND pushed_at > 0)`, []any{p.ID},
		func(row func(...any) error) (u Usage, err error) { return u, row(&u.Bytes, &u.Repositories) })
	return u, err
}

// Statistics is what the hub holds.
type Statistics struct {
	Users          int64
	Projects       int64
	PublicProjects int64
	Robots         int64
	Repositories   int64
	Artifacts      int64
	Tags           int64
	Blobs          int64
	StoredBytes    int64 // in the blob store
	UsedBytes      int64 // sum over the projects, each digest once per project
	Pulls          int64 // of manifests, ever
}

// Statistics counts what the hub holds. It looks at every row of some tables.
func (s *Store) Statistics(ctx context.Context) (Statistics, error) {
	t, _, err := row(s.reads(ctx), `SELECT (SELECT COUNT(*) FROM account), (SELECT COUNT(*) FROM project),
		(SELECT COUNT(*) FROM project WHERE visibility = $1), (SELECT COUNT(*) FROM robot),
		(SELECT COUNT(*) FROM repository WHERE pushed_at > 0), (SELECT COUNT(*) FROM manifest_link), (SELECT COUNT(*) FROM tag),
		(SELECT COUNT(*) FROM blob), (SELECT COALESCE(SUM(size), 0) FROM blob), (SELECT COALESCE(SUM(size), 0) FROM project_blob),
		(SELECT COALESCE(SUM(pulls), 0) FROM pull_total)`, []any{string(core.Public)},
		func(row func(...any) error) (t Statistics, err error) {
			return t, row(&t.Users, &t.Projects, &t.PublicProjects, &t.Robots, &t.Repositories, &t.Artifacts, &t.Tags,
				&t.Blobs, &t.StoredBytes, &t.UsedBytes, &t.Pulls)
		})
	return t, err
}
