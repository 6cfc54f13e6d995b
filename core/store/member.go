package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Member is a user with a role in a project.
type Member struct {
	AccountID   string
	Username    string
	DisplayName string
	Role        core.Role
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64
}

const memberColumns = `m.account_id, a.username, a.display_name, m.role, m.created_at, m.updated_at, m.revision`

func scanMember(row func(...any) error) (*Member, error) {
	var m Member
	var created, updated int64
	err := row(&m.AccountID, &m.Username, &m.DisplayName, &m.Role, &created, &updated, &m.Revision)
	m.CreatedAt, m.UpdatedAt = db.Time(created), db.Time(updated)
	return &m, err
}

func noMember(p *core.Project, username string) *core.Error {
	return core.Errorf(core.CodeNotFound, "user %q is not a member of project %s", username, p.Name)
}

func lastOwner(p *core.Project) *core.Error {
	return core.Errorf(core.CodeConflict, "this is the last owner of project %s: make somebody else owner first", p.Name)
}

func memberOf(q querier, p *core.Project, username string) (*Member, bool, error) {
	return row(q, `SELECT `+memberColumns+` FROM member m JOIN account a ON a.id = m.account_id
		WHERE m.project_id = $1 AND a.username = $2`, []any{p.ID, username}, scanMember)
}

// Member returns a member of a project. CodeNotFound if the user is none.
func (s *Store) Member(ctx context.Context, p *core.Project, username string) (*Member, error) {
	m, found, err := memberOf(s.reads(ctx), p, username)
	if err == nil && !found {
		err = noMember(p, username)
	}
	return m, err
}

// MemberQuery asks for a page of members in byte order of the usernames.
type MemberQuery struct {
	Role  core.Role // "" for all
	After string    // username of the last one of the page before
	N     int       // at most so many; 0: 50
}

// Members lists the members of a project; more says that there are further ones.
func (s *Store) Members(ctx context.Context, p *core.Project, q MemberQuery) (members []*Member, more bool, err error) {
	var st statement
	st.add(`SELECT `+memberColumns+` FROM member m JOIN account a ON a.id = m.account_id
		WHERE m.project_id = ? AND a.username > ?`, p.ID, q.After)
	st.when(q.Role != core.RoleNone, ` AND m.role = ?`, string(q.Role))
	st.add(` ORDER BY a.username`)
	return page(s.reads(ctx), &st, q.N, scanMember)
}

// PutMember gives a user a role in a project. revision is that of the member as the caller read it, 0 to make a new
// one; giving the same role again changes nothing and needs none. created says that the user was no member before.
// CodeNotFound if there is no such user, CodeConflict if the project would be left without owner.
func (s *Store) PutMember(ctx context.Context, p *core.Project, username string, role core.Role, revision int64) (m *Member, created bool, err error) {
	switch role {
	case core.RoleGuest, core.RoleDeveloper, core.RoleMaintainer, core.RoleOwner:
	default:
		return nil, false, core.Invalid("/role", "role is guest, developer, maintainer or owner")
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		if err := lockProject(tx, p); err != nil {
			return err
		}
		var found bool
		if m, found, err = memberOf(tx.Query, p, username); err != nil {
			return err
		}
		created = !found
		if created {
			m, err = addMember(tx, p, username, role)
		} else {
			err = changeRole(tx, p, m, role, revision)
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return m, created, nil
}

func addMember(tx *db.Tx, p *core.Project, username string, role core.Role) (*Member, error) {
	n, err := tx.Exec(`INSERT INTO member (project_id, account_id, role, created_at, updated_at)
		SELECT $1, id, $2, $3, $3 FROM account WHERE username = $4`, p.ID, string(role), tx.Now(), username)
	if err := exactly(n, err, noAccount(username)); err != nil {
		return nil, err
	}
	m, _, err := memberOf(tx.Query, p, username)
	if err != nil {
		return nil, err
	}
	return m, memberChanged(tx, p, m, "member.create")
}

func changeRole(tx *db.Tx, p *core.Project, m *Member, role core.Role, revision int64) error {
	if m.Role == role && (revision == 0 || revision == m.Revision) {
		return nil
	}
	if err := checkRevision("the member", m.Revision, revision); err != nil {
		return err
	}
	if m.Role == core.RoleOwner && role != core.RoleOwner {
		if err := anotherOwner(tx, p, m); err != nil {
			return err
		}
	}
	m.Role, m.UpdatedAt = role, db.Time(tx.Now())
	n, err := tx.Exec(`UPDATE member SET role = $1, updated_at = $2, revision = revision + 1
		WHERE project_id = $3 AND account_id = $4 AND revision = $5`, string(role), m.UpdatedAt.UnixMicro(), p.ID, m.AccountID, m.Revision)
	if err := exactly(n, err, stale("the member")); err != nil {
		return err
	}
	m.Revision++
	return memberChanged(tx, p, m, "member.update")
}

// DeleteMember takes a user out of a project. CodeConflict for the last owner, unless an administrator does it.
func (s *Store) DeleteMember(ctx context.Context, p *core.Project, username string, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		if err := lockProject(tx, p); err != nil {
			return err
		}
		m, found, err := memberOf(tx.Query, p, username)
		if err != nil {
			return err
		}
		if !found {
			return noMember(p, username)
		}
		if err := checkRevision("the member", m.Revision, revision); err != nil {
			return err
		}
		if m.Role == core.RoleOwner {
			if err := anotherOwner(tx, p, m); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`DELETE FROM member WHERE project_id = $1 AND account_id = $2`, p.ID, m.AccountID); err != nil {
			return err
		}
		return memberChanged(tx, p, m, "member.delete")
	})
}

// anotherOwner refuses if m is the only owner who can log in, unless an administrator asks. The caller holds lockProject.
func anotherOwner(tx *db.Tx, p *core.Project, m *Member) error {
	if core.PrincipalFrom(tx.Context()).Admin {
		return nil
	}
	var others int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM member m JOIN account a ON a.id = m.account_id
		WHERE m.project_id = $1 AND m.role = $2 AND m.account_id <> $3 AND NOT a.disabled`, p.ID, string(core.RoleOwner), m.AccountID).Scan(&others); err != nil {
		return err
	}
	if others == 0 {
		return lastOwner(p)
	}
	return nil
}

func memberChanged(tx *db.Tx, p *core.Project, m *Member, action string) error {
	tx.Changed(ChangeProject, p.Name)
	tx.Changed(ChangeAccount, m.AccountID)
	return Audit(tx, action, p.ID, p.Name+"/"+m.Username, detail(struct {
		Role core.Role `json:"role"`
	}{m.Role}))
}
