package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// NewProject is what CreateProject needs. An empty Visibility means private, an empty Baseline enforce.
type NewProject struct {
	Name           string          `json:"name"`
	Visibility     core.Visibility `json:"visibility"`
	Baseline       core.Baseline   `json:"baseline"`
	Description    string          `json:"description,omitempty"`
	SparseIndexes  bool            `json:"sparse_indexes,omitempty"`
	QuotaBytes     int64           `json:"quota_bytes,omitempty"`
	AttachVerdicts bool            `json:"attach_verdicts,omitempty"`
	SBOMOnPush     *bool           `json:"sbom_on_push,omitempty"` // nil: true
	Registry       string          `json:"registry,omitempty"`     // stays what it is: what lies where is not moved
}

// ProjectPatch names what UpdateProject changes; nil leaves a field as it is.
type ProjectPatch struct {
	Visibility     *core.Visibility `json:"visibility,omitempty"`
	Baseline       *core.Baseline   `json:"baseline,omitempty"`
	Description    *string          `json:"description,omitempty"`
	SparseIndexes  *bool            `json:"sparse_indexes,omitempty"`
	QuotaBytes     *int64           `json:"quota_bytes,omitempty"`
	AttachVerdicts *bool            `json:"attach_verdicts,omitempty"`
	SBOMOnPush     *bool            `json:"sbom_on_push,omitempty"`
	Scanner        *string          `json:"scanner,omitempty"` // "": the default one
	ScanOnPush     *bool            `json:"scan_on_push,omitempty"`
	ScanSchedule   *string          `json:"scan_schedule,omitempty"` // that it is one is checked by whoever keeps schedules
}

// ProjectQuery asks for a page of projects in byte order of the names.
type ProjectQuery struct {
	Visibility core.Visibility // "" for both
	Contains   string          // in the name; "" for all
	Member     bool            // only those the principal is a member of
	After      string          // name of the last one of the page before
	N          int             // at most so many; 0: 50
}

// ListedProject is a project in a list, with the role that the asking user has in it.
type ListedProject struct {
	core.Project
	Role core.Role
}

const (
	maxProjectName = 64
	maxDescription = 1024
)

const projectColumns = `p.id, p.name, p.visibility, p.baseline, p.description, p.sparse_indexes, p.quota_bytes, p.attach_verdicts,
	COALESCE(p.registry, ''), COALESCE(p.scanner, ''), p.scan_on_push, p.scan_schedule, p.sbom_on_push, p.created_at, p.updated_at, p.revision`

func scanProject(row func(...any) error) (*core.Project, error) {
	var p core.Project
	var created, updated int64
	err := row(&p.ID, &p.Name, &p.Visibility, &p.Baseline, &p.Description, &p.SparseIndexes, &p.QuotaBytes, &p.AttachVerdicts, &p.Registry,
		&p.Scanner, &p.ScanOnPush, &p.ScanSchedule, &p.SBOMOnPush, &created, &updated, &p.Revision)
	p.CreatedAt, p.UpdatedAt = db.Time(created), db.Time(updated)
	return &p, err
}

// ValidProjectName says whether s can be the name of a project: one component of an OCI repository name
// ([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*), at most 64 bytes, and none of the words that are addresses of the hub itself.
func ValidProjectName(s string) bool {
	switch s {
	case "admin", "api", "assets", "docs", "healthz", "livez", "login", "logout", "metrics", "oidc", "portal", "readyz",
		"search", "service", "settings", "static", "system", "t", "token", "v1", "v2":
		return false
	}
	if !validWord(s, maxProjectName) {
		return false
	}
	// Separators between two letters or digits: a dot, one or two underscores, or any number of hyphens.
	for i := 0; i < len(s); i++ {
		start := i
		for s[i] == '.' || s[i] == '_' || s[i] == '-' {
			i++ // ends: the last byte is none of them
		}
		switch sep := s[start:i]; sep {
		case "", ".", "_", "__":
		default:
			for _, c := range sep {
				if c != '-' {
					return false
				}
			}
		}
	}
	return true
}

func noProject(name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no project %q, or you may not see it", name)
}

// SystemProject is the project of what the hub itself needs, such as its scanner's databases. Nobody else can make one of this name.
const SystemProject = "system"

func (n *NewProject) check(by *core.Principal) error {
	if !ValidProjectName(n.Name) && !(n.Name == SystemProject && by.Kind == core.KindSystem) {
		return core.Invalid("/name", "a project name has 1 to %d of the characters a-z, 0-9, and between them dots, underscores and hyphens; words that are addresses of the hub, such as api or admin, are reserved", maxProjectName)
	}
	if n.Visibility == "" {
		n.Visibility = core.Private
	}
	if n.Baseline == "" {
		n.Baseline = core.BaselineEnforce
	}
	return checkProject(&core.Project{Visibility: n.Visibility, Baseline: n.Baseline, Description: n.Description, QuotaBytes: n.QuotaBytes})
}

func checkProject(p *core.Project) error {
	if p.Visibility != core.Public && p.Visibility != core.Private {
		return core.Invalid("/visibility", "visibility is public or private")
	}
	if p.Baseline != core.BaselineEnforce && p.Baseline != core.BaselineWarn && p.Baseline != core.BaselineOff {
		return core.Invalid("/baseline", "baseline is enforce, warn or off")
	}
	if p.QuotaBytes < 0 {
		return core.Invalid("/quota_bytes", "a quota is a number of bytes, or 0 for the hub's default")
	}
	return checkLines("/description", p.Description, maxDescription)
}

// CreateProject makes a project. A user who creates it becomes its owner in the same transaction. CodeConflict if the
// name is taken, whether or not the caller may see by whom.
func (s *Store) CreateProject(ctx context.Context, n NewProject) (*core.Project, error) {
	if err := n.check(core.PrincipalFrom(ctx)); err != nil {
		return nil, err
	}
	p := &core.Project{ID: NewID(), Name: n.Name, Visibility: n.Visibility, Baseline: n.Baseline, Description: n.Description,
		SparseIndexes: n.SparseIndexes, QuotaBytes: n.QuotaBytes, AttachVerdicts: n.AttachVerdicts, SBOMOnPush: n.SBOMOnPush == nil || *n.SBOMOnPush,
		Registry: n.Registry, ScanOnPush: true, Revision: 1}
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		p.CreatedAt, p.UpdatedAt = db.Time(now), db.Time(now)
		var registry any
		if p.Registry != "" {
			if err := holdRegistry(tx, p.Registry); err != nil {
				return err
			}
			registry = p.Registry
		}
		c, err := tx.Exec(`INSERT INTO project (id, name, visibility, baseline, description, sparse_indexes, quota_bytes, attach_verdicts, created_at, updated_at, registry,
			sbom_on_push) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11) ON CONFLICT (name) DO NOTHING`,
			p.ID, p.Name, string(p.Visibility), string(p.Baseline), p.Description, p.SparseIndexes, p.QuotaBytes, p.AttachVerdicts, now, registry, p.SBOMOnPush)
		if err := exactly(c, err, core.Errorf(core.CodeConflict, "the project name %q is taken: choose another one", p.Name)); err != nil {
			return err
		}
		if err := ownByCreator(tx, p); err != nil {
			return err
		}
		tx.Changed(ChangeProject, p.Name)
		if err := tell(tx, EventProjectCreated, p.ID, p.Name, named{p.Name}); err != nil {
			return err
		}
		return Audit(tx, "project.create", p.ID, p.Name, detail(n))
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func ownByCreator(tx *db.Tx, p *core.Project) error {
	creator := core.PrincipalFrom(tx.Context())
	if creator.Kind != core.KindUser {
		return nil
	}
	c, err := tx.Exec(`INSERT INTO member (project_id, account_id, role, created_at, updated_at)
		SELECT $1, id, $2, $3, $3 FROM account WHERE id = $4 AND NOT disabled`, p.ID, string(core.RoleOwner), p.CreatedAt.UnixMicro(), creator.ID)
	tx.Changed(ChangeAccount, creator.ID)
	return exactly(c, err, core.Errorf(core.CodeForbidden, "your account is disabled or gone: log in as somebody else"))
}

// ProjectByName returns a project. CodeNotFound if there is none.
func (s *Store) ProjectByName(ctx context.Context, name string) (*core.Project, error) {
	p, found, err := projectByName(s.reads(ctx), name)
	if err == nil && !found {
		err = noProject(name)
	}
	return p, err
}

func projectByName(q querier, name string) (*core.Project, bool, error) {
	return row(q, `SELECT `+projectColumns+` FROM project p WHERE p.name = $1`, []any{name}, scanProject)
}

// Projects lists the projects that a principal can see: the public ones, those it belongs to, and all of them for an
// administrator. It does not look at the principal's grants. more says that there are further ones.
func (s *Store) Projects(ctx context.Context, p *core.Principal, q ProjectQuery) (projects []ListedProject, more bool, err error) {
	var st statement
	st.add(`SELECT `+projectColumns+`, COALESCE(m.role, '') FROM project p
		LEFT JOIN member m ON m.project_id = p.id AND m.account_id = ? WHERE p.name > ?`, userID(p), q.After)
	if !p.Admin {
		st.add(` AND (p.visibility = ? OR m.role IS NOT NULL OR p.id = ?)`, string(core.Public), p.Project)
	}
	st.when(q.Member, ` AND (m.role IS NOT NULL OR p.id = ?)`, p.Project)
	st.when(q.Visibility != "", ` AND p.visibility = ?`, string(q.Visibility))
	st.contains("p.name", q.Contains)
	st.add(` ORDER BY p.name`)
	return page(s.reads(ctx), &st, q.N, func(row func(...any) error) (l ListedProject, err error) {
		p, err := scanProject(func(dest ...any) error { return row(append(dest, &l.Role)...) })
		l.Project = *p
		return l, err
	})
}

// userID is the account of a user, and "" for others, who are members of nothing.
func userID(p *core.Principal) string {
	if p.Kind != core.KindUser {
		return ""
	}
	return p.ID
}

// UpdateProject changes a project as it is now. Which fields a caller may change is for access to say.
func (s *Store) UpdateProject(ctx context.Context, project *core.Project, patch ProjectPatch, revision int64) (*core.Project, error) {
	var p *core.Project
	err := s.write(ctx, func(tx *db.Tx) error {
		var found bool
		var err error
		p, found, err = row(tx.Query, `SELECT `+projectColumns+` FROM project p WHERE p.id = $1`, []any{project.ID}, scanProject)
		if err != nil {
			return err
		}
		if !found {
			return noProject(project.Name)
		}
		if err := checkRevision("the project", p.Revision, revision); err != nil {
			return err
		}
		return patchProject(tx, p, patch)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func patchProject(tx *db.Tx, p *core.Project, patch ProjectPatch) error {
	verdicts := set(&p.Baseline, patch.Baseline)
	verdicts = set(&p.AttachVerdicts, patch.AttachVerdicts) || verdicts
	changed := set(&p.Visibility, patch.Visibility) || verdicts
	changed = set(&p.Description, patch.Description) || changed
	changed = set(&p.SparseIndexes, patch.SparseIndexes) || changed
	changed = set(&p.QuotaBytes, patch.QuotaBytes) || changed
	changed = set(&p.SBOMOnPush, patch.SBOMOnPush) || changed
	scans := set(&p.Scanner, patch.Scanner)
	scans = set(&p.ScanOnPush, patch.ScanOnPush) || scans
	scans = set(&p.ScanSchedule, patch.ScanSchedule) || scans
	if !changed && !scans {
		return nil
	}
	if scans {
		if err := patchScans(tx, p); err != nil {
			return err
		}
	}
	if err := checkProject(p); err != nil {
		return err
	}
	p.UpdatedAt = db.Time(tx.Now())
	c, err := tx.Exec(`UPDATE project SET visibility = $1, baseline = $2, description = $3, sparse_indexes = $4, quota_bytes = $5, attach_verdicts = $6,
		updated_at = $7, sbom_on_push = $8, revision = revision + 1 WHERE id = $9 AND revision = $10`,
		string(p.Visibility), string(p.Baseline), p.Description, p.SparseIndexes, p.QuotaBytes, p.AttachVerdicts, p.UpdatedAt.UnixMicro(), p.SBOMOnPush, p.ID, p.Revision)
	if err := exactly(c, err, stale("the project")); err != nil {
		return err
	}
	p.Revision++
	tx.Changed(ChangeProject, p.Name)
	if verdicts {
		if err := sweepSettings(tx, p.ID); err != nil {
			return err
		}
	}
	return Audit(tx, "project.update", p.ID, p.Name, detail(patch))
}

// patchScans writes which scanner scans a project, and when.
func patchScans(tx *db.Tx, p *core.Project) error {
	var scanner any
	if p.Scanner != "" {
		scanner = p.Scanner
		if err := holdScanner(tx, p.Scanner); err != nil {
			return err
		}
	}
	// When it is next is reckoned anew.
	_, err := tx.Exec(`UPDATE project SET scanner = $2, scan_on_push = $3, scan_schedule = $4, scan_next_at = CASE WHEN scan_schedule = $4 THEN scan_next_at ELSE 0 END
		WHERE id = $1`, p.ID, scanner, p.ScanOnPush, p.ScanSchedule)
	tx.Changed(ChangeScan, "")
	return err
}

// DeleteProject removes a project with its members, robots, labels and trust documents. CodeConflict while it has repositories.
func (s *Store) DeleteProject(ctx context.Context, p *core.Project, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		now, found, err := row(tx.Query, `SELECT `+projectColumns+` FROM project p WHERE p.id = $1`, []any{p.ID}, scanProject)
		if err != nil {
			return err
		}
		if !found {
			return noProject(p.Name)
		}
		if err := checkRevision("the project", now.Revision, revision); err != nil {
			return err
		}
		// Changing the name, which is a key, waits on Postgres for pushes that are about to add a repository, so that
		// the next statement sees it.
		c, err := tx.Exec(`UPDATE project SET name = name || '/deleted' WHERE id = $1 AND revision = $2`, p.ID, now.Revision)
		if err := exactly(c, err, stale("the project")); err != nil {
			return err
		}
		if err := tell(tx, EventProjectDeleted, p.ID, p.Name, named{p.Name}); err != nil {
			return err
		}
		if err := dropProject(tx, p); err != nil {
			return err
		}
		return Audit(tx, "project.delete", p.ID, p.Name, "")
	})
}

func dropProject(tx *db.Tx, p *core.Project) error {
	robots, err := rows(tx.Query, `SELECT id FROM robot WHERE project_id = $1`, []any{p.ID}, scanText)
	if err != nil {
		return err
	}
	members, err := rows(tx.Query, `SELECT account_id FROM member WHERE project_id = $1`, []any{p.ID}, scanText)
	if err != nil {
		return err
	}
	// What is left of pushes that never came to an end is no reason to keep the project.
	if _, err := tx.Exec(`DELETE FROM repository WHERE project_id = $1 AND pushed_at = 0
		AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.repository_id = repository.id)
		AND NOT EXISTS (SELECT 1 FROM blob_link l WHERE l.repository_id = repository.id)
		AND NOT EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = repository.id)`, p.ID); err != nil {
		return err
	}
	var repositories int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM repository WHERE project_id = $1`, p.ID).Scan(&repositories); err != nil {
		return err
	}
	if repositories > 0 {
		return core.Errorf(core.CodeConflict, "project %s still has repositories, or somebody is pushing to it: delete them first", p.Name)
	}
	if _, err := tx.Exec(`DELETE FROM project_blob WHERE project_id = $1`, p.ID); err != nil {
		return err
	}
	if err := dropTrust(tx, p); err != nil {
		return err
	}
	if err := dropWebhooks(tx, p); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM project WHERE id = $1`, p.ID); err != nil {
		return err
	}
	tx.Changed(ChangeProject, p.Name)
	for _, id := range robots {
		tx.Changed(ChangeRobot, id)
	}
	for _, id := range members {
		tx.Changed(ChangeAccount, id)
	}
	return nil
}

func scanText(row func(...any) error) (text string, err error) { return text, row(&text) }
