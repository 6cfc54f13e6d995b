package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Robot is the account of a machine in one project. Its secret is known by a hash only, which is not part of it.
type Robot struct {
	ID          string
	ProjectID   string
	Project     string // name
	Name        string // without "robot$project+"
	Description string
	Permissions []core.Grant // patterns are of what comes after "project/"
	Disabled    bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
	ExpiresAt   time.Time
	LastUsedAt  time.Time // up to a minute late; zero: never
	Revision    int64
}

// Username is what a robot logs in with.
func (r *Robot) Username() string { return "robot$" + r.Project + "+" + r.Name }

// RobotLogin is a robot together with what its secrets are checked against.
type RobotLogin struct {
	Robot
	hash, previous string
	previousUntil  time.Time
}

// Matches reports whether secret is the robot's, or at the time now still is after a rotation.
func (r *RobotLogin) Matches(secret string, now time.Time) bool {
	current := seal.TokenMatches(r.hash, secret)
	before := seal.TokenMatches(r.previous, secret) && now.Before(r.previousUntil)
	return current || before
}

// NewRobot is what CreateRobot needs.
type NewRobot struct {
	Name        string
	Description string
	Permissions []core.Grant
	Life        time.Duration // 0: DefaultRobotLife
}

// RobotPatch names what UpdateRobot changes; nil leaves a field as it is.
type RobotPatch struct {
	Description *string
	Permissions *[]core.Grant
	Disabled    *bool
	Life        *time.Duration // from now on
}

// robotAudit is what the audit trail says of a robot that was made or changed: the fields that were given.
type robotAudit struct {
	Description *string       `json:"description,omitempty"`
	Permissions *[]core.Grant `json:"permissions,omitempty"`
	Disabled    *bool         `json:"disabled,omitempty"`
	ExpiresAt   *time.Time    `json:"expires_at,omitempty"`
}

// Limits of robots.
const (
	DefaultRobotLife   = 90 * 24 * time.Hour
	MaxRobotLife       = 365 * 24 * time.Hour
	DefaultRotation    = 24 * time.Hour // how long the old secret stays valid beside the new one
	MaxRotation        = 7 * 24 * time.Hour
	MaxRobots          = 1000 // of a project
	maxRobotName       = 64
	maxRobotDescribed  = 256
	robotColumns       = `r.id, r.project_id, p.name, r.name, r.description, r.permissions, r.disabled, r.created_at, r.updated_at, r.expires_at, r.last_used_at, r.revision`
	robotFrom          = ` FROM robot r JOIN project p ON p.id = r.project_id `
	robotSecretColumns = robotColumns + `, r.secret_hash, r.previous_hash, r.previous_until`
)

func scanRobot(row func(...any) error) (*Robot, error) {
	var r Robot
	var permissions string
	var created, updated, expires int64
	var used *int64
	if err := row(&r.ID, &r.ProjectID, &r.Project, &r.Name, &r.Description, &permissions, &r.Disabled, &created, &updated, &expires, &used, &r.Revision); err != nil {
		return nil, err
	}
	r.CreatedAt, r.UpdatedAt, r.ExpiresAt, r.LastUsedAt = db.Time(created), db.Time(updated), db.Time(expires), micros(used)
	var err error
	r.Permissions, err = parseGrants(permissions)
	return &r, err
}

func scanRobotLogin(row func(...any) error) (*RobotLogin, error) {
	var l RobotLogin
	var until *int64
	r, err := scanRobot(func(dest ...any) error { return row(append(dest, &l.hash, &l.previous, &until)...) })
	if err != nil {
		return nil, err
	}
	l.Robot, l.previousUntil = *r, micros(until)
	return &l, nil
}

func noRobot(p *core.Project) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no such robot in project %s", p.Name)
}

func checkRobot(r *Robot, life *time.Duration) error {
	if len(r.Permissions) == 0 {
		return core.Invalid("/permissions", "a robot without permissions can do nothing: name a repository pattern and actions")
	}
	if life != nil && (*life < time.Minute || *life > MaxRobotLife) {
		return core.Invalid("/expires_in", "a robot lives for a minute to %d days", MaxRobotLife/(24*time.Hour))
	}
	if err := CheckGrants("/permissions", r.Permissions); err != nil {
		return err
	}
	return checkLine("/description", r.Description, maxRobotDescribed)
}

// CreateRobot makes a robot and returns it with its secret, which is not to be had again. CodeConflict if the name is
// taken in this project.
func (s *Store) CreateRobot(ctx context.Context, p *core.Project, n NewRobot) (*Robot, string, error) {
	if !validWord(n.Name, maxRobotName) {
		return nil, "", core.Invalid("/name", "a robot name has 1 to %d of the characters a-z, 0-9, dot, underscore and hyphen, and begins and ends with a letter or digit", maxRobotName)
	}
	if n.Life == 0 {
		n.Life = DefaultRobotLife
	}
	r := &Robot{ID: NewID(), ProjectID: p.ID, Project: p.Name, Name: n.Name, Description: n.Description, Permissions: n.Permissions, Revision: 1}
	if err := checkRobot(r, &n.Life); err != nil {
		return nil, "", err
	}
	secret := seal.NewToken(seal.RobotPrefix)
	err := s.write(ctx, func(tx *db.Tx) error {
		if err := lockProject(tx, p); err != nil {
			return err
		}
		now := tx.Now()
		r.CreatedAt, r.UpdatedAt, r.ExpiresAt = db.Time(now), db.Time(now), db.Time(now+n.Life.Microseconds())
		return insertRobot(tx, p, r, seal.HashToken(secret))
	})
	if err != nil {
		return nil, "", err
	}
	return r, secret, nil
}

func insertRobot(tx *db.Tx, p *core.Project, r *Robot, hash string) error {
	var have int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM robot WHERE project_id = $1`, p.ID).Scan(&have); err != nil {
		return err
	}
	if have >= MaxRobots {
		return core.Errorf(core.CodeLimit, "project %s has %d robots already, and more are not allowed: delete one that is not used any more", p.Name, have)
	}
	c, err := tx.Exec(`INSERT INTO robot (id, project_id, name, description, permissions, secret_hash, created_at, updated_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) ON CONFLICT (project_id, name) DO NOTHING`,
		r.ID, p.ID, r.Name, r.Description, grantsText(r.Permissions), hash, r.CreatedAt.UnixMicro(), r.ExpiresAt.UnixMicro())
	if err := exactly(c, err, core.Errorf(core.CodeConflict, "there is a robot %q in project %s already: choose another name", r.Name, p.Name)); err != nil {
		return err
	}
	return Audit(tx, "robot.create", p.ID, r.Username(), detail(robotAudit{Permissions: &r.Permissions, ExpiresAt: &r.ExpiresAt}))
}

// Robot returns a robot of a project. CodeNotFound if that project has none with this id.
func (s *Store) Robot(ctx context.Context, p *core.Project, id string) (*Robot, error) {
	return robotOf(s.reads(ctx), p, id)
}

func robotOf(q querier, p *core.Project, id string) (*Robot, error) {
	r, found, err := row(q, `SELECT `+robotColumns+robotFrom+`WHERE r.project_id = $1 AND r.id = $2`, []any{p.ID, id}, scanRobot)
	if err == nil && !found {
		err = noRobot(p)
	}
	return r, err
}

// Robots lists the robots of a project in byte order of the names, at most n (0: 50) after the given one; more says
// that there are further ones.
func (s *Store) Robots(ctx context.Context, p *core.Project, after string, n int) (robots []*Robot, more bool, err error) {
	var st statement
	st.add(`SELECT `+robotColumns+robotFrom+`WHERE r.project_id = ? AND r.name > ? ORDER BY r.name`, p.ID, after)
	return page(s.reads(ctx), &st, n, scanRobot)
}

// RobotByName finds a robot for logging in, also one that is disabled or has expired. CodeNotFound if there is none.
func (s *Store) RobotByName(ctx context.Context, project, name string) (*RobotLogin, error) {
	return s.robotLogin(ctx, `WHERE p.name = $1 AND r.name = $2`, project, name)
}

func (s *Store) robotLogin(ctx context.Context, where string, args ...any) (*RobotLogin, error) {
	l, found, err := row(s.reads(ctx), `SELECT `+robotSecretColumns+robotFrom+where, args, scanRobotLogin)
	if err == nil && !found {
		err = core.Errorf(core.CodeNotFound, "there is no such robot")
	}
	return l, err
}

// UpdateRobot changes a robot. It is in force at once, and within a second in other processes.
func (s *Store) UpdateRobot(ctx context.Context, p *core.Project, id string, patch RobotPatch, revision int64) (*Robot, error) {
	var r *Robot
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		if r, err = robotOf(tx.Query, p, id); err != nil {
			return err
		}
		if err := checkRevision("the robot", r.Revision, revision); err != nil {
			return err
		}
		set(&r.Description, patch.Description)
		set(&r.Disabled, patch.Disabled)
		if patch.Permissions != nil {
			r.Permissions = *patch.Permissions
		}
		if err := checkRobot(r, patch.Life); err != nil {
			return err
		}
		r.UpdatedAt = db.Time(tx.Now())
		if patch.Life != nil {
			r.ExpiresAt = r.UpdatedAt.Add(*patch.Life)
		}
		return updateRobot(tx, p, r, patch)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func updateRobot(tx *db.Tx, p *core.Project, r *Robot, patch RobotPatch) error {
	c, err := tx.Exec(`UPDATE robot SET description = $1, permissions = $2, disabled = $3, expires_at = $4, updated_at = $5, revision = revision + 1
		WHERE project_id = $6 AND id = $7 AND revision = $8`, r.Description, grantsText(r.Permissions), r.Disabled,
		r.ExpiresAt.UnixMicro(), r.UpdatedAt.UnixMicro(), p.ID, r.ID, r.Revision)
	if err := exactly(c, err, stale("the robot")); err != nil {
		return err
	}
	r.Revision++
	tx.Changed(ChangeRobot, r.ID)
	said := robotAudit{Description: patch.Description, Permissions: patch.Permissions, Disabled: patch.Disabled}
	if patch.Life != nil {
		said.ExpiresAt = &r.ExpiresAt
	}
	return Audit(tx, "robot.update", p.ID, r.Username(), detail(said))
}

// RotateRobot gives a robot a new secret, which is not to be had again. The old one stays valid for overlap; the one
// before it is refused from now on.
func (s *Store) RotateRobot(ctx context.Context, p *core.Project, id string, overlap time.Duration) (*Robot, string, error) {
	if overlap < 0 || overlap > MaxRotation {
		return nil, "", core.Invalid("/overlap", "the old secret can stay valid for at most %d days", MaxRotation/(24*time.Hour))
	}
	secret := seal.NewToken(seal.RobotPrefix)
	var r *Robot
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		now := tx.Now()
		c, err := tx.Exec(`UPDATE robot SET previous_hash = secret_hash, previous_until = $1, secret_hash = $2, updated_at = $3, revision = revision + 1
			WHERE project_id = $4 AND id = $5`, now+overlap.Microseconds(), seal.HashToken(secret), now, p.ID, id)
		if err := exactly(c, err, noRobot(p)); err != nil {
			return err
		}
		if r, err = robotOf(tx.Query, p, id); err != nil {
			return err
		}
		tx.Changed(ChangeRobot, id)
		return Audit(tx, "robot.rotate", p.ID, r.Username(), "")
	})
	if err != nil {
		return nil, "", err
	}
	return r, secret, nil
}

// DeleteRobot removes a robot of a project.
func (s *Store) DeleteRobot(ctx context.Context, p *core.Project, id string, revision int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		r, err := robotOf(tx.Query, p, id)
		if err != nil {
			return err
		}
		if err := checkRevision("the robot", r.Revision, revision); err != nil {
			return err
		}
		c, err := tx.Exec(`DELETE FROM robot WHERE project_id = $1 AND id = $2 AND revision = $3`, p.ID, id, r.Revision)
		if err := exactly(c, err, stale("the robot")); err != nil {
			return err
		}
		tx.Changed(ChangeRobot, id)
		return Audit(tx, "robot.delete", p.ID, r.Username(), "")
	})
}

// TouchRobots notes when robots, by id, were last used, and tells nobody.
func (s *Store) TouchRobots(ctx context.Context, used map[string]time.Time) error {
	return s.touch(ctx, `UPDATE robot SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`, used)
}
