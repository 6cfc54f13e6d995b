package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// TrustKind says what a TrustDocument describes.
type TrustKind string

// The kinds.
const (
	TrustAuthority TrustKind = "authority"  // a key or an identity whose signatures count
	TrustRoot      TrustKind = "trust-root" // by which identities are verified
	TrustPolicy    TrustKind = "policy"     // what has to hold before something may be pulled
)

// TrustDocument is one of the things the gate decides by, of a project or of the hub. What the document says is checked
// by whoever saves it (core/gate); here it is text.
type TrustDocument struct {
	Kind      TrustKind
	Hub       bool // of the hub, and so in force in every project
	Name      string
	Document  string
	CreatedAt time.Time
	UpdatedAt time.Time
	Revision  int64
}

// TrustMaterial is all that holds in a project: its own documents and the hub's.
type TrustMaterial struct {
	Documents []TrustDocument
	// Exceptions of the project, without their reasons. No revision counts them.
	Exceptions []core.Exception
	// Revision grows with every change of one of them.
	Revision int64
}

// ChangeTrust is published when a TrustDocument changed. The key is the project's name, "" for the hub's.
const ChangeTrust = "trust"

const (
	maxTrustName      = 64
	maxTrustDocument  = 256 << 10 // bytes; the public-good trust root has 30 KiB
	maxTrustDocuments = 200       // of one kind and scope
	trustColumns      = `kind, scope = '', name, document, created_at, updated_at, revision`
)

func scanTrust(row func(...any) error) (*TrustDocument, error) {
	var d TrustDocument
	var created, updated int64
	err := row(&d.Kind, &d.Hub, &d.Name, &d.Document, &created, &updated, &d.Revision)
	d.CreatedAt, d.UpdatedAt = db.Time(created), db.Time(updated)
	return &d, err
}

// trustScope is where documents of a project lie; nil stands for the hub.
func trustScope(p *core.Project) (scope, project string) {
	if p == nil {
		return "", ""
	}
	return p.ID, p.Name
}

func noTrust(kind TrustKind, name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no %s %q here", kind, name)
}

func trustOf(q querier, scope string, kind TrustKind, name string) (*TrustDocument, bool, error) {
	return row(q, `SELECT `+trustColumns+` FROM trust_document WHERE scope = $1 AND kind = $2 AND name = $3`,
		[]any{scope, string(kind), name}, scanTrust)
}

// TrustDocument returns a document of a project, or of the hub if p is nil. CodeNotFound if there is none.
func (s *Store) TrustDocument(ctx context.Context, p *core.Project, kind TrustKind, name string) (*TrustDocument, error) {
	scope, _ := trustScope(p)
	d, found, err := trustOf(s.reads(ctx), scope, kind, name)
	if err == nil && !found {
		err = noTrust(kind, name)
	}
	return d, err
}

// TrustDocuments lists the documents of a project, or of the hub if p is nil, in byte order of the names, at most n
// (0: 50) after the given one; more says that there are further ones.
func (s *Store) TrustDocuments(ctx context.Context, p *core.Project, kind TrustKind, after string, n int) (all []*TrustDocument, more bool, err error) {
	scope, _ := trustScope(p)
	var st statement
	st.add(`SELECT `+trustColumns+` FROM trust_document WHERE scope = ? AND kind = ? AND name > ? ORDER BY name`, scope, string(kind), after)
	return page(s.reads(ctx), &st, n, scanTrust)
}

// materialOf is the statement that reads all that holds in a project. The revisions come as one more row: read apart, a
// change between the two statements would be missed.
func materialOf(scope string) string {
	return `SELECT ` + trustColumns + ` FROM trust_document WHERE scope IN ('', ` + scope + `)
		UNION ALL SELECT '', TRUE, '', '', 0, 0, COALESCE(CAST(SUM(revision) AS BIGINT), 0) FROM trust_revision WHERE scope IN ('', ` + scope + `)` + exceptionsOf(scope)
}

// TrustMaterial reads all that holds in a project, in one statement.
func (s *Store) TrustMaterial(ctx context.Context, p *core.Project) (*TrustMaterial, error) {
	docs, err := rows(s.reads(ctx), materialOf("$1"), []any{p.ID}, scanTrust)
	return newTrustMaterial(docs), err
}

func newTrustMaterial(docs []*TrustDocument) *TrustMaterial {
	m := &TrustMaterial{}
	for _, d := range docs {
		if d.Kind == "" {
			m.Revision = d.Revision
			continue
		}
		if d.Kind == exceptionKind {
			m.Exceptions = append(m.Exceptions, parseException(d))
			continue
		}
		m.Documents = append(m.Documents, *d)
	}
	slices.SortFunc(m.Documents, func(a, b TrustDocument) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(strconv.FormatBool(a.Hub), strconv.FormatBool(b.Hub)), strings.Compare(a.Name, b.Name))
	})
	return m
}

// TrustMention is a document that a name stands in, and of which project it is; "" for the hub's.
type TrustMention struct {
	TrustDocument
	Project string
}

// maxMentions bounds TrustMentions: whoever looks for users needs one of them.
const maxMentions = 500

// TrustMentions lists the authorities and policies of a project, or of the hub and all projects if p is nil, that a name
// stands in or that have it. What the name means there is up to whoever reads the documents.
func (s *Store) TrustMentions(ctx context.Context, p *core.Project, name string) ([]TrustMention, error) {
	scope, _ := trustScope(p)
	var st statement
	// A document could spell a name with escapes. Then it is not found here, and what depends on it is refused later.
	st.add(`SELECT kind, scope = '', t.name, document, t.created_at, t.updated_at, t.revision, COALESCE(p.name, '') FROM trust_document t
		LEFT JOIN project p ON p.id = t.scope WHERE kind IN (?, ?) AND (t.name = ? OR document LIKE ?)`,
		string(TrustAuthority), string(TrustPolicy), name, "%"+name+"%")
	st.when(p != nil, ` AND scope = ?`, scope)
	st.add(` ORDER BY scope, kind, t.name LIMIT ?`, maxMentions)
	return rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (m TrustMention, err error) {
		d, err := scanTrust(func(dest ...any) error { return row(append(dest, &m.Project)...) })
		m.TrustDocument = *d
		return m, err
	})
}

// PutTrustDocument makes or changes a document of a project, or of the hub if p is nil. revision is that of the document
// as the caller read it, 0 to make a new one; saving what is there already changes nothing and needs none.
func (s *Store) PutTrustDocument(ctx context.Context, p *core.Project, kind TrustKind, name, document string, revision int64) (d *TrustDocument, created bool, err error) {
	return s.putTrust(ctx, p, kind, name, document, revision, "saved")
}

// RevokeAuthority is PutTrustDocument of an authority that nothing is believed any more, of which somebody may want to be told.
func (s *Store) RevokeAuthority(ctx context.Context, p *core.Project, name, document string, revision int64) (*TrustDocument, error) {
	d, _, err := s.putTrust(ctx, p, TrustAuthority, name, document, revision, revoked)
	return d, err
}

// revoked is what happened to an authority, of all that can happen to a document.
const revoked = "revoked"

// tellTrust says what happened to a document. Who is trusted and what is demanded are rules alike.
func tellTrust(tx *db.Tx, kind TrustKind, scope, object, change string) error {
	event := EventPolicyChanged
	if change == revoked {
		event = EventKeyRevoked
	}
	return tell(tx, event, scope, object, struct {
		Kind   TrustKind `json:"kind"`
		Name   string    `json:"name"`
		Change string    `json:"change"`
	}{kind, object, change})
}

func (s *Store) putTrust(ctx context.Context, p *core.Project, kind TrustKind, name, document string, revision int64, change string) (d *TrustDocument, created bool, err error) {
	if !validWord(name, maxTrustName) {
		return nil, false, core.Invalid("name", "a name has 1 to %d of the characters a-z, 0-9, and between them . _ -", maxTrustName)
	}
	if err := checkLines("/document", document, maxTrustDocument); err != nil {
		return nil, false, err
	}
	scope, project := trustScope(p)
	err = s.write(ctx, func(tx *db.Tx) error {
		var found bool
		look := func() (same bool, err error) {
			d, found, err = trustOf(tx.Query, scope, kind, name)
			created = !found
			return found && d.Document == document && (revision == 0 || revision == AnyRevision || revision == d.Revision), err
		}
		// Before anything is counted as a change: what changes nothing lets nothing be verified anew.
		if same, err := look(); err != nil || same {
			return err
		}
		if err := touchTrust(tx, p); err != nil {
			return err
		}
		if same, err := look(); err != nil || same { // somebody else was first
			return err
		}
		if found {
			if err := checkRevision("the "+string(kind), d.Revision, revision); err != nil {
				return err
			}
		}
		if d, err = writeTrust(tx, scope, kind, name, document); err != nil {
			return err
		}
		tx.Changed(ChangeTrust, project)
		if err := sweepScope(tx, scope); err != nil {
			return err
		}
		if err := tellTrust(tx, kind, scope, trustObject(project, name), change); err != nil {
			return err
		}
		return Audit(tx, string(kind)+".save", scope, trustObject(project, name), document)
	})
	return d, created, err
}

func writeTrust(tx *db.Tx, scope string, kind TrustKind, name, document string) (*TrustDocument, error) {
	d, found, err := row(tx.Query, `INSERT INTO trust_document (scope, kind, name, document, created_at, updated_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($5 AS BIGINT)
		WHERE (SELECT COUNT(*) FROM trust_document WHERE scope = $1 AND kind = $2 AND name <> $3) < CAST($6 AS BIGINT)
		ON CONFLICT (scope, kind, name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at, revision = trust_document.revision + 1
		RETURNING `+trustColumns, []any{scope, string(kind), name, document, tx.Now(), maxTrustDocuments}, scanTrust)
	if err == nil && !found {
		err = core.Errorf(core.CodeLimit, "there are %d of the kind %s here already, and more are not allowed: delete one that is not used any more", maxTrustDocuments, kind)
	}
	return d, err
}

// touchTrust counts a change, and makes transactions that change the same scope wait for each other.
func touchTrust(tx *db.Tx, p *core.Project) error {
	scope, _ := trustScope(p)
	if p != nil {
		if err := lockProject(tx, p); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`INSERT INTO trust_revision (scope, revision) VALUES ($1, 1) ON CONFLICT (scope) DO UPDATE SET revision = trust_revision.revision + 1`, scope)
	return err
}

// DeleteTrustDocument removes a document of a project, or of the hub if p is nil.
func (s *Store) DeleteTrustDocument(ctx context.Context, p *core.Project, kind TrustKind, name string, revision int64) error {
	scope, project := trustScope(p)
	return s.write(ctx, func(tx *db.Tx) error {
		if err := touchTrust(tx, p); err != nil {
			return err
		}
		d, found, err := trustOf(tx.Query, scope, kind, name)
		if err != nil {
			return err
		}
		if !found {
			return noTrust(kind, name)
		}
		if err := checkRevision("the "+string(kind), d.Revision, revision); err != nil {
			return err
		}
		c, err := tx.Exec(`DELETE FROM trust_document WHERE scope = $1 AND kind = $2 AND name = $3 AND revision = $4`, scope, string(kind), name, d.Revision)
		if err := exactly(c, err, stale("the "+string(kind))); err != nil {
			return err
		}
		tx.Changed(ChangeTrust, project)
		if err := sweepScope(tx, scope); err != nil {
			return err
		}
		if err := tellTrust(tx, kind, scope, trustObject(project, name), "deleted"); err != nil {
			return err
		}
		return Audit(tx, string(kind)+".delete", scope, trustObject(project, name), "")
	})
}

// dropTrust removes all documents of a project that goes.
func dropTrust(tx *db.Tx, p *core.Project) error {
	if _, err := tx.Exec(`DELETE FROM trust_document WHERE scope = $1`, p.ID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM trust_revision WHERE scope = $1`, p.ID)
	return err
}

func trustObject(project, name string) string {
	if project == "" {
		return name
	}
	return project + "/" + name
}
