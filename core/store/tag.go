package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Tag is a name for an artifact of a repository.
type Tag struct {
	Name      string
	Digest    string
	MediaType string
	Size      int64 // of the artifact, see Artifact.Size
	CreatedAt time.Time
	UpdatedAt time.Time // when it was last pushed
	UpdatedBy string    // kind:id
}

// TagQuery asks for a page of tags in byte order of the names.
type TagQuery struct {
	Contains string // in the name; "" for all
	Digest   string // only those that point there; "" for all
	After    string // name of the last one of the page before
	N        int    // at most so many; 0: 50
}

const tagColumns = `SELECT t.name, t.digest, m.media_type, m.size + m.layers_size, t.created_at, t.updated_at, t.updated_by
	FROM tag t JOIN manifest m ON m.digest = t.digest WHERE t.repository_id = (SELECT id FROM repository WHERE project_id = ? AND name = ?)`

func scanTag(row func(...any) error) (*Tag, error) {
	var t Tag
	var created, updated int64
	err := row(&t.Name, &t.Digest, &t.MediaType, &t.Size, &created, &updated, &t.UpdatedBy)
	t.CreatedAt, t.UpdatedAt = db.Time(created), db.Time(updated)
	return &t, err
}

// Tags lists the tags of a repository; more says that there are further ones. CodeNotFound if there is no such
// repository.
func (s *Store) Tags(ctx context.Context, p *core.Project, repository string, q TagQuery) (tags []*Tag, more bool, err error) {
	if err := s.repositoryExists(ctx, p, repository); err != nil {
		return nil, false, err
	}
	var st statement
	st.add(tagColumns+` AND t.name > ?`, p.ID, whole(p, repository), q.After)
	st.contains("t.name", q.Contains)
	st.when(q.Digest != "", ` AND t.digest = ?`, q.Digest)
	st.add(` ORDER BY t.name`)
	return page(s.reads(ctx), &st, q.N, scanTag)
}

// Tag returns one tag of a repository. CodeNotFound if there is none.
func (s *Store) Tag(ctx context.Context, p *core.Project, repository, name string) (*Tag, error) {
	var st statement
	st.add(tagColumns+` AND t.name = ?`, p.ID, whole(p, repository), name)
	t, found, err := row(s.reads(ctx), st.text.String(), st.args, scanTag)
	if err == nil && !found {
		err = core.Errorf(core.CodeNotFound, "there is no tag %s:%s", whole(p, repository), name)
	}
	return t, err
}

// Tagged is a manifest of a repository and its tags.
type Tagged struct {
	Repository string // whole name
	Digest     string
	Tags       []string // in byte order
}

// TaggedArtifacts lists what has tags in a project, the newest push first and at most n; more says that there are further ones.
// Of an artifact with very many tags only the first are listed.
func (s *Store) TaggedArtifacts(ctx context.Context, p *core.Project, n int) (all []Tagged, more bool, err error) {
	const maxTags = 100
	_, err = rows(s.reads(ctx), `WITH newest AS (SELECT l.repository_id, l.digest, l.pushed_at, r.name FROM manifest_link l
			JOIN repository r ON r.id = l.repository_id WHERE r.project_id = $1
			AND EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = l.repository_id AND t.digest = l.digest)
			ORDER BY l.pushed_at DESC, r.name, l.digest LIMIT $2),
		named AS (SELECT w.name AS repository, w.digest, w.pushed_at, t.name AS tag,
			ROW_NUMBER() OVER (PARTITION BY t.repository_id, t.digest ORDER BY t.name) AS place
			FROM newest w JOIN tag t ON t.repository_id = w.repository_id AND t.digest = w.digest)
		SELECT repository, digest, tag FROM named WHERE place <= $3 ORDER BY pushed_at DESC, repository, digest, place`,
		[]any{p.ID, n + 1, maxTags}, func(row func(...any) error) (struct{}, error) {
			var a Tagged
			var tag string
			err := row(&a.Repository, &a.Digest, &tag)
			if last := len(all) - 1; last < 0 || all[last].Repository != a.Repository || all[last].Digest != a.Digest {
				all = append(all, a)
			}
			last := &all[len(all)-1]
			last.Tags = append(last.Tags, tag)
			return struct{}{}, err
		})
	if len(all) > n {
		return all[:n], true, err
	}
	return all, false, err
}

// TagBefore is what a tag that was just written named before: "" if nothing. known is false if the hub has no such tag.
func TagBefore(tx *db.Tx, repository, tag string) (digest string, known bool, err error) {
	return row(tx.Query, `SELECT COALESCE(t.previous, '') FROM repository r JOIN tag t ON t.repository_id = r.id AND t.name = $2 WHERE r.name = $1`,
		[]any{repository, tag}, scanText)
}
