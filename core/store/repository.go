package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Repository is a named set of artifacts in a project. It comes to be by the first push.
type Repository struct {
	ID        string
	Name      string // without the project
	Summary   string
	Readme    string // Markdown; not in lists
	Pulls     int64  // of manifests, ever
	Size      int64  // bytes, each digest once; not in lists
	Artifacts int64
	Tags      int64
	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64
}

// RepositoryPatch names what UpdateRepository changes; nil leaves a field as it is.
type RepositoryPatch struct {
	Summary *string `json:"summary,omitempty"`
	Readme  *string `json:"-"` // too long for an audit row
}

// RepositoryQuery asks for a page of repositories in byte order of the names.
type RepositoryQuery struct {
	Contains string // in the name; "" for all
	After    string // name, without the project, of the last one of the page before
	N        int    // at most so many; 0: 50
}

const (
	maxSummary = 256
	maxReadme  = 64 << 10
)

// repositoryColumns are also those of a list: what is counted in them is counted for the rows of the page only.
const repositoryColumns = `r.id, r.name, r.summary, r.created_at, r.updated_at, r.revision,
	(SELECT COALESCE(SUM(t.pulls), 0) FROM pull_total t WHERE t.repository_id = r.id),
	(SELECT COUNT(*) FROM manifest_link l WHERE l.repository_id = r.id),
	(SELECT COUNT(*) FROM tag t WHERE t.repository_id = r.id)`

const repositorySize = `(SELECT COALESCE(SUM(b.size), 0) FROM blob_link l JOIN blob b ON b.digest = l.digest WHERE l.repository_id = r.id),
	(SELECT COALESCE(SUM(m.size), 0) FROM manifest_link l JOIN manifest m ON m.digest = l.digest WHERE l.repository_id = r.id)`

// whole is the name by which clients know a repository.
func whole(p *core.Project, repository string) string { return p.Name + "/" + repository }

func noRepository(p *core.Project, name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no repository %s", whole(p, name))
}

func (r *Repository) scan(p *core.Project, row func(...any) error, more ...any) error {
	var created, updated int64
	err := row(append([]any{&r.ID, &r.Name, &r.Summary, &created, &updated, &r.Revision, &r.Pulls, &r.Artifacts, &r.Tags}, more...)...)
	r.CreatedAt, r.UpdatedAt = db.Time(created), db.Time(updated)
	if err == nil {
		r.Name = r.Name[len(p.Name)+1:]
	}
	return err
}

// Repositories lists the repositories of a project that something has been pushed to; more says that there are further
// ones.
func (s *Store) Repositories(ctx context.Context, p *core.Project, q RepositoryQuery) (repositories []*Repository, more bool, err error) {
	var st statement
	st.add(`SELECT `+repositoryColumns+` FROM repository r WHERE r.project_id = ? AND r.name > ? AND r.pushed_at > 0`,
		p.ID, whole(p, q.After))
	if q.Contains != "" { // the project's own name is not searched
		st.add(` AND REPLACE(SUBSTR(r.name, ?), ?, '') <> SUBSTR(r.name, ?)`, len(p.Name)+2, q.Contains, len(p.Name)+2)
	}
	st.add(` ORDER BY r.name`)
	return page(s.reads(ctx), &st, q.N, func(row func(...any) error) (*Repository, error) {
		var r Repository
		return &r, r.scan(p, row)
	})
}

// Repository returns a repository of a project. CodeNotFound if nothing has been pushed to it.
func (s *Store) Repository(ctx context.Context, p *core.Project, name string) (*Repository, error) {
	return repositoryOf(s.reads(ctx), p, name)
}

func repositoryOf(q querier, p *core.Project, name string) (*Repository, error) {
	r, found, err := row(q, `SELECT `+repositoryColumns+`, r.readme, `+repositorySize+` FROM repository r
		WHERE r.project_id = $1 AND r.name = $2 AND r.pushed_at > 0`, []any{p.ID, whole(p, name)},
		func(row func(...any) error) (*Repository, error) {
			var r Repository
			var blobs, manifests int64
			err := r.scan(p, row, &r.Readme, &blobs, &manifests)
			r.Size = blobs + manifests
			return &r, err
		})
	if err == nil && !found {
		err = noRepository(p, name)
	}
	return r, err
}

// UpdateRepository changes what people read about a repository.
func (s *Store) UpdateRepository(ctx context.Context, p *core.Project, name string, patch RepositoryPatch, revision int64) (*Repository, error) {
	var r *Repository
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		if r, err = repositoryOf(tx.Query, p, name); err != nil {
			return err
		}
		if err := checkRevision("the repository", r.Revision, revision); err != nil {
			return err
		}
		summary, readme := set(&r.Summary, patch.Summary), set(&r.Readme, patch.Readme)
		if !summary && !readme {
			return nil
		}
		if err := checkLine("/summary", r.Summary, maxSummary); err != nil {
			return err
		}
		if err := checkLines("/readme", r.Readme, maxReadme); err != nil {
			return err
		}
		r.UpdatedAt = db.Time(tx.Now())
		c, err := tx.Exec(`UPDATE repository SET summary = $1, readme = $2, updated_at = $3, revision = revision + 1
			WHERE project_id = $4 AND id = $5 AND revision = $6`, r.Summary, r.Readme, r.UpdatedAt.UnixMicro(), p.ID, r.ID, r.Revision)
		if err := exactly(c, err, stale("the repository")); err != nil {
			return err
		}
		r.Revision++
		return Audit(tx, "repository.update", p.ID, whole(p, name), detail(patch))
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// DeleteRepository removes a repository with all it has. unlink does that for the registry, in the same transaction
// (registry/local: Registry.DeleteRepository): it is given the whole name.
func (s *Store) DeleteRepository(ctx context.Context, p *core.Project, name string, revision int64, unlink func(tx *db.Tx, repository string) error) error {
	return s.write(ctx, func(tx *db.Tx) error {
		r, err := repositoryOf(tx.Query, p, name)
		if err != nil {
			return err
		}
		if err := checkRevision("the repository", r.Revision, revision); err != nil {
			return err
		}
		if err := unlink(tx, whole(p, name)); err != nil {
			return err
		}
		return Audit(tx, "repository.delete", p.ID, whole(p, name), "")
	})
}
