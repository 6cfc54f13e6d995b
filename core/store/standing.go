package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
)

// Standing is what a principal is in a project right now.
type Standing struct {
	Project *core.Project // nil: there is none of that name
	Role    core.Role
	// Alive is false for a user or robot that has been disabled or deleted or has expired since it logged in.
	Alive bool
	// Admin is whether it has rights everywhere now.
	Admin bool
	// Robot is the robot with its permissions as they are now; nil for others. A token may have been issued before
	// they were narrowed.
	Robot *core.Principal
}

// CachedStanding answers from memory alone: no SQL and no allocation. ok is false when something is not there, or is not
// to be believed. It is good for allowing, not for refusing.
func (d *Directory) CachedStanding(p *core.Principal, project string) (st Standing, ok bool) {
	if st.Project, ok = d.projects.peek(project); !ok {
		return Standing{}, false
	}
	ok = d.cachedSelf(p, &st)
	return st, ok
}

// cachedSelf adds to the standing in a project, or in none, what the principal is, if that is in memory.
func (d *Directory) cachedSelf(p *core.Principal, st *Standing) (ok bool) {
	switch p.Kind {
	case core.KindUser:
		var a *AccountState
		if a, ok = d.accounts.peek(p.ID); ok {
			st.account(a)
		}
	case core.KindRobot:
		var r *RobotState
		if r, ok = d.robots.peek(p.ID); ok {
			st.robot(d, r)
		}
	default:
		st.other(p)
		ok = true
	}
	return ok
}

// Self is the standing of a principal in no project: whether it is alive, and what it is everywhere. That it is not alive
// is never from memory.
func (d *Directory) Self(ctx context.Context, p *core.Principal) (st Standing, err error) {
	if d.cachedSelf(p, &st) && st.Alive {
		return st, nil
	}
	nowhere := func(context.Context, string) (*core.Project, error) { return nil, nil }
	return d.standing(ctx, p, "", nowhere, d.accounts.ask, d.robots.ask)
}

// Standing answers from the database, and so may be the ground for a refusal. What was not in memory is afterwards. The
// same statements run whether or not the project exists. Call it when CachedStanding does not allow.
func (d *Directory) Standing(ctx context.Context, p *core.Principal, project string) (Standing, error) {
	return d.standing(ctx, p, project, d.projects.ask, d.accounts.ask, d.robots.ask)
}

// LiveStanding answers from the database alone: for the admin API, where a change is in force at once.
func (d *Directory) LiveStanding(ctx context.Context, p *core.Principal, project string) (Standing, error) {
	return d.standing(ctx, p, project, d.projects.read, d.accounts.read, d.robots.read)
}

func (d *Directory) standing(ctx context.Context, p *core.Principal, project string,
	projectOf func(context.Context, string) (*core.Project, error),
	accountOf func(context.Context, string) (*AccountState, error),
	robotOf func(context.Context, string) (*RobotState, error)) (st Standing, err error) {
	if st.Project, err = projectOf(ctx, project); err != nil {
		return Standing{}, err
	}
	switch p.Kind {
	case core.KindUser:
		a, err := accountOf(ctx, p.ID)
		if err != nil {
			return Standing{}, err
		}
		st.account(a)
	case core.KindRobot:
		r, err := robotOf(ctx, p.ID)
		if err != nil {
			return Standing{}, err
		}
		st.robot(d, r)
	default:
		st.other(p)
	}
	return st, nil
}

func (st *Standing) account(a *AccountState) {
	if a == nil || a.Disabled {
		return
	}
	st.Alive, st.Admin = true, a.Admin
	if st.Project != nil {
		st.Role = a.Role(st.Project.ID)
	}
}

func (st *Standing) robot(d *Directory, r *RobotState) {
	if r == nil || !r.Alive(d.s.Now()) {
		return
	}
	st.Alive, st.Robot = true, r.Principal
}

func (st *Standing) other(p *core.Principal) { st.Alive, st.Admin = true, p.Admin }
