package store

import (
	"context"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Sizes of the Directory's caches: projects; accounts and robots by the number of memberships and grants besides.
const (
	directoryProjects = 10_000
	directoryAccounts = 200_000
	directoryRobots   = 50_000
)

// Directory answers, without SQL once it is warm, who somebody is right now: the read side of projects, memberships,
// accounts and robots for requests that must not wait. What changed is dropped before the write that changed it returns,
// within a second where another process wrote it, and while that cannot be known nothing is answered from memory.
// That there is no such thing, or that somebody may not, is never remembered.
//
// Its methods may be called concurrently. What they return is shared and not to be changed.
type Directory struct {
	s        *Store
	projects *shelf[core.Project] // by name
	accounts *shelf[AccountState]
	robots   *shelf[RobotState]
}

// AccountState is what an account is right now.
type AccountState struct {
	ID       string
	Username string
	Admin    bool
	Disabled bool
	// Generation is that of the password.
	Generation string
	roles      map[string]core.Role // by project id
	projects   []string             // names, in order
}

// Role is the account's role in a project, given by its id.
func (a *AccountState) Role(projectID string) core.Role { return a.roles[projectID] }

// RobotState is what a robot is right now.
type RobotState struct {
	Disabled  bool
	ExpiresAt time.Time
	Project   string // name
	// Principal is the robot with its permissions as they are, as if it had just logged in. Its Credential is "robot:<id>".
	Principal *core.Principal

	generation, previous string // of the secret, and of the one before its rotation
	previousUntil        time.Time
}

// Alive reports whether the robot may do anything at all at a time.
func (r *RobotState) Alive(now time.Time) bool { return !r.Disabled && now.Before(r.ExpiresAt) }

// Honours reports whether the robot's secret of this generation is good at a time, and if that ends by itself, until when
// (else zero).
func (r *RobotState) Honours(generation string, now time.Time) (until time.Time, ok bool) {
	switch generation {
	case "":
		return time.Time{}, false
	case r.generation:
		return time.Time{}, true
	}
	return r.previousUntil, generation == r.previous && now.Before(r.previousUntil)
}

// NewDirectory makes a Directory. Make it before the database follows other processes (db.DB.Follow).
func NewDirectory(s *Store) *Directory {
	d := &Directory{
		s:        s,
		projects: newShelf(s.db, directoryProjects, func(*core.Project) int { return 1 }, s.readProject),
		accounts: newShelf(s.db, directoryAccounts, func(a *AccountState) int { return 1 + len(a.roles) }, s.readAccountState),
		robots:   newShelf(s.db, directoryRobots, func(r *RobotState) int { return 1 + len(r.Principal.Grants) }, s.readRobotState),
	}
	s.db.Subscribe(d.drop)
	return d
}

// drop forgets what changed.
func (d *Directory) drop(changes []db.Change) {
	for _, c := range changes {
		switch c.Kind {
		case ChangeProject:
			d.projects.drop(c.Key)
		case ChangeAccount:
			d.accounts.drop(c.Key)
		case ChangeRobot:
			d.robots.drop(c.Key)
		case "":
			d.projects.dropAll()
			d.accounts.dropAll()
			d.robots.dropAll()
		}
	}
}

// Project returns a project by name. CodeNotFound if there is none.
func (d *Directory) Project(ctx context.Context, name string) (*core.Project, error) {
	p, err := d.projects.get(ctx, name)
	if err == nil && p == nil {
		err = noProject(name)
	}
	return p, err
}

// Account returns an account by id. CodeNotFound if there is none. That it is disabled is never from memory.
func (d *Directory) Account(ctx context.Context, id string) (*AccountState, error) {
	a, err := d.accounts.get(ctx, id)
	if err == nil && a != nil && a.Disabled {
		a, err = d.s.readAccountState(ctx, id)
	}
	if err == nil && a == nil {
		err = core.Errorf(core.CodeNotFound, "this user does not exist any more")
	}
	return a, err
}

// Robot returns a robot by id. CodeNotFound if there is none. That it is disabled or has expired is never from memory.
func (d *Directory) Robot(ctx context.Context, id string) (*RobotState, error) {
	r, err := d.robots.get(ctx, id)
	if err == nil && r != nil && !r.Alive(d.s.Now()) {
		r, err = d.s.readRobotState(ctx, id)
	}
	if err == nil && r == nil {
		err = core.Errorf(core.CodeNotFound, "this robot does not exist any more")
	}
	return r, err
}

// LiveAccount is Account from the database alone: for refusing what memory may be too old for.
func (d *Directory) LiveAccount(ctx context.Context, id string) (*AccountState, error) {
	a, err := d.s.readAccountState(ctx, id)
	if err == nil && a == nil {
		err = core.Errorf(core.CodeNotFound, "this user does not exist any more")
	}
	return a, err
}

// LiveRobot is Robot from the database alone.
func (d *Directory) LiveRobot(ctx context.Context, id string) (*RobotState, error) {
	r, err := d.s.readRobotState(ctx, id)
	if err == nil && r == nil {
		err = core.Errorf(core.CodeNotFound, "this robot does not exist any more")
	}
	return r, err
}

// VisibleProjects lists the names of the projects whose repositories a principal sees besides the public ones: those it
// is a member of, or the one a robot belongs to. Administrators see all, which this does not list. It is for lists alone:
// where another process has just made somebody a member, they may lack that project for a second.
func (d *Directory) VisibleProjects(ctx context.Context, p *core.Principal) ([]string, error) {
	switch p.Kind {
	case core.KindUser:
		a, err := d.accounts.get(ctx, p.ID)
		if err != nil || a == nil || a.Disabled {
			return nil, err
		}
		return a.projects, nil
	case core.KindRobot:
		r, err := d.robots.get(ctx, p.ID)
		if err != nil || r == nil || !r.Alive(d.s.Now()) {
			return nil, err
		}
		return []string{r.Project}, nil
	}
	return nil, nil
}

func (s *Store) readProject(ctx context.Context, name string) (*core.Project, error) {
	p, found, err := projectByName(s.reads(ctx), name)
	if !found {
		return nil, err
	}
	return p, err
}

func (s *Store) readAccountState(ctx context.Context, id string) (*AccountState, error) {
	type membership struct {
		AccountState
		project, name, hash string
		role                core.Role
	}
	all, err := rows(s.reads(ctx), `SELECT a.id, a.username, a.admin, a.disabled, a.password_hash, COALESCE(m.project_id, ''), COALESCE(m.role, ''), COALESCE(p.name, '')
		FROM account a LEFT JOIN member m ON m.account_id = a.id LEFT JOIN project p ON p.id = m.project_id WHERE a.id = $1`, []any{id},
		func(row func(...any) error) (m membership, err error) {
			return m, row(&m.ID, &m.Username, &m.Admin, &m.Disabled, &m.hash, &m.project, &m.role, &m.name)
		})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	a := all[0].AccountState
	a.Generation = Generation(all[0].hash)
	a.roles = make(map[string]core.Role, len(all))
	for _, m := range all {
		if m.project != "" {
			a.roles[m.project] = m.role
			a.projects = append(a.projects, m.name)
		}
	}
	slices.Sort(a.projects)
	return &a, nil
}

func (s *Store) readRobotState(ctx context.Context, id string) (*RobotState, error) {
	l, found, err := row(s.reads(ctx), `SELECT `+robotSecretColumns+robotFrom+`WHERE r.id = $1`, []any{id}, scanRobotLogin)
	if err != nil || !found {
		return nil, err
	}
	return &RobotState{Disabled: l.Disabled, ExpiresAt: l.ExpiresAt, Project: l.Project, Principal: l.principal(),
		generation: Generation(l.hash), previous: Generation(l.previous), previousUntil: l.previousUntil}, nil
}

// principal is the robot as one who asks.
func (r *Robot) principal() *core.Principal {
	return &core.Principal{Kind: core.KindRobot, ID: r.ID, Name: r.Username(), Project: r.ProjectID,
		Grants: r.Permissions, Credential: "robot:" + r.ID}
}
