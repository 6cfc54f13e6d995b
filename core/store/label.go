package store

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Label is a word of a project that artifacts can be marked with.
type Label struct {
	ID          string
	Name        string
	Color       string // "#rrggbb" or ""
	Description string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64
}

// LabelFields is what PutLabel sets.
type LabelFields struct {
	Color       string `json:"color"`
	Description string `json:"description"`
}

const (
	maxLabelName   = 64  // characters
	maxLabelText   = 256 // bytes
	maxLabels      = 500 // of a project
	labelColumns   = `id, name, color, description, created_at, updated_at, revision`
	labelPunctuate = " ._:=@-"
)

func scanLabel(row func(...any) error) (*Label, error) {
	var l Label
	var created, updated int64
	err := row(&l.ID, &l.Name, &l.Color, &l.Description, &created, &updated, &l.Revision)
	l.CreatedAt, l.UpdatedAt = db.Time(created), db.Time(updated)
	return &l, err
}

func validLabelName(s string) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxLabelName || len(s) > maxLabelText {
		return false
	}
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	return word(first) && word(last) && strings.IndexFunc(s, func(r rune) bool { return !word(r) && !strings.ContainsRune(labelPunctuate, r) }) < 0
}

func (f LabelFields) check() error {
	if f.Color != "" && (len(f.Color) != 7 || f.Color[0] != '#' || strings.Trim(f.Color[1:], "0123456789abcdefABCDEF") != "") {
		return core.Invalid("/color", "a color is written #rrggbb, or left out")
	}
	return checkLine("/description", f.Description, maxLabelText)
}

func noLabel(p *core.Project, name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no label %q in project %s", name, p.Name)
}

func labelOf(q querier, p *core.Project, name string) (*Label, bool, error) {
	return row(q, `SELECT `+labelColumns+` FROM label WHERE project_id = $1 AND name = $2`, []any{p.ID, name}, scanLabel)
}

// Label returns a label of a project. CodeNotFound if there is none.
func (s *Store) Label(ctx context.Context, p *core.Project, name string) (*Label, error) {
	l, found, err := labelOf(s.reads(ctx), p, name)
	if err == nil && !found {
		err = noLabel(p, name)
	}
	return l, err
}

// Labels lists the labels of a project in byte order of the names, at most n (0: 50) after the given one; more says that
// there are further ones.
func (s *Store) Labels(ctx context.Context, p *core.Project, after string, n int) (labels []*Label, more bool, err error) {
	var st statement
	st.add(`SELECT `+labelColumns+` FROM label WHERE project_id = ? AND name > ? ORDER BY name`, p.ID, after)
	return page(s.reads(ctx), &st, n, scanLabel)
}

// PutLabel makes or changes a label. revision is that of the label as the caller read it, 0 to make a new one; setting
// what is there already changes nothing and needs none. created says that it was not there before.
func (s *Store) PutLabel(ctx context.Context, p *core.Project, name string, f LabelFields, revision int64) (l *Label, created bool, err error) {
	if !validLabelName(name) {
		return nil, false, core.Invalid("name", "a label has 1 to %d letters, digits, spaces and . _ : = @ -, with a letter or digit at both ends", maxLabelName)
	}
	if err := f.check(); err != nil {
		return nil, false, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		if err := lockProject(tx, p); err != nil {
			return err
		}
		var found bool
		if l, found, err = labelOf(tx.Query, p, name); err != nil {
			return err
		}
		if created = !found; created {
			l, err = addLabel(tx, p, name, f)
			return err
		}
		return changeLabel(tx, p, l, f, revision)
	})
	if err != nil {
		return nil, false, err
	}
	return l, created, nil
}

func addLabel(tx *db.Tx, p *core.Project, name string, f LabelFields) (*Label, error) {
	now := tx.Now()
	l := &Label{ID: NewID(), Name: name, Color: f.Color, Description: f.Description, CreatedAt: db.Time(now), UpdatedAt: db.Time(now), Revision: 1}
	c, err := tx.Exec(`INSERT INTO label (id, project_id, name, color, description, created_at, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, $6 WHERE (SELECT COUNT(*) FROM label WHERE project_id = $2) < CAST($7 AS BIGINT)`,
		l.ID, p.ID, name, f.Color, f.Description, now, maxLabels)
	if err := exactly(c, err, core.Errorf(core.CodeLimit, "project %s has %d labels already, and more are not allowed: delete one that is not used any more", p.Name, maxLabels)); err != nil {
		return nil, err
	}
	return l, Audit(tx, "label.create", p.ID, p.Name+"/"+name, detail(f))
}

func changeLabel(tx *db.Tx, p *core.Project, l *Label, f LabelFields, revision int64) error {
	if l.Color == f.Color && l.Description == f.Description && (revision == 0 || revision == l.Revision) {
		return nil
	}
	if err := checkRevision("the label", l.Revision, revision); err != nil {
		return err
	}
	l.Color, l.Description, l.UpdatedAt = f.Color, f.Description, db.Time(tx.Now())
	c, err := tx.Exec(`UPDATE label SET color = $1, description = $2, updated_at = $3, revision = revision + 1
		WHERE project_id = $4 AND id = $5 AND revision = $6`, l.Color, l.Description, l.UpdatedAt.UnixMicro(), p.ID, l.ID, l.Revision)
	if err := exactly(c, err, stale("the label")); err != nil {
		return err
	}
	l.Revision++
	return Audit(tx, "label.update", p.ID, p.Name+"/"+l.Name, detail(f))
}

// DeleteLabel removes a label, and takes it off every artifact.
func (s *Store) DeleteLabel(ctx context.Context, p *core.Project, name string, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		l, found, err := labelOf(tx.Query, p, name)
		if err != nil {
			return err
		}
		if !found {
			return noLabel(p, name)
		}
		if err := checkRevision("the label", l.Revision, revision); err != nil {
			return err
		}
		c, err := tx.Exec(`DELETE FROM label WHERE project_id = $1 AND id = $2 AND revision = $3`, p.ID, l.ID, l.Revision)
		if err := exactly(c, err, stale("the label")); err != nil {
			return err
		}
		return Audit(tx, "label.delete", p.ID, p.Name+"/"+name, "")
	})
}

// AttachLabel marks an artifact, given by its digest, with a label of its project; again does nothing. CodeNotFound if
// there is no such label or artifact.
func (s *Store) AttachLabel(ctx context.Context, p *core.Project, label, repository, digest string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		l, found, err := labelOf(tx.Query, p, label)
		if err != nil {
			return err
		}
		if !found {
			return noLabel(p, label)
		}
		// The link is touched first, so that nobody deletes the artifact or the label in between.
		c, err := tx.Exec(`UPDATE manifest_link SET leased_until = leased_until WHERE digest = $1
			AND repository_id = (SELECT id FROM repository WHERE project_id = $2 AND name = $3)`, digest, p.ID, whole(p, repository))
		if err := exactly(c, err, noArtifact(p, repository, digest)); err != nil {
			return err
		}
		c, err = tx.Exec(`INSERT INTO artifact_label (label_id, repository_id, digest, created_at)
			SELECT l.id, r.id, $1, $2 FROM label l JOIN repository r ON r.project_id = l.project_id
			WHERE l.project_id = $3 AND l.id = $4 AND r.name = $5 ON CONFLICT (repository_id, digest, label_id) DO NOTHING`,
			digest, tx.Now(), p.ID, l.ID, whole(p, repository))
		if err != nil || c == 0 {
			return err
		}
		return Audit(tx, "artifact.label", p.ID, whole(p, repository)+"@"+digest, detail(labelled{Label: label}))
	})
}

// DetachLabel takes a label off an artifact. CodeNotFound if it did not have it.
func (s *Store) DetachLabel(ctx context.Context, p *core.Project, label, repository, digest string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		c, err := tx.Exec(`DELETE FROM artifact_label WHERE digest = $1
			AND repository_id = (SELECT id FROM repository WHERE project_id = $2 AND name = $3)
			AND label_id = (SELECT id FROM label WHERE project_id = $2 AND name = $4)`, digest, p.ID, whole(p, repository), label)
		if err := exactly(c, err, core.Errorf(core.CodeNotFound, "%s@%s has no label %q", whole(p, repository), digest, label)); err != nil {
			return err
		}
		return Audit(tx, "artifact.unlabel", p.ID, whole(p, repository)+"@"+digest, detail(labelled{Label: label}))
	})
}

type labelled struct {
	Label string `json:"label"`
}
