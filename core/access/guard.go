package access

import (
	"context"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Guard answers Can for principals as they are right now: a role that was taken away, a robot whose permissions were
// narrowed, a disabled account count from the moment on in which the Directory knows of it. Its methods may be called
// concurrently.
type Guard struct {
	dir *store.Directory
}

// NewGuard makes a Guard.
func NewGuard(dir *store.Directory) *Guard { return &Guard{dir: dir} }

// May reports whether p may do a, an action on content, to a repository given by its whole name. Allowing needs no SQL
// when the Directory is warm; refusing always asks the database, with the same statements whether or not the project
// exists. st is what the answer rests on.
func (g *Guard) May(ctx context.Context, p *core.Principal, a core.Action, repository string) (ok bool, st store.Standing, err error) {
	project, _, _ := strings.Cut(repository, "/")
	if st, ok := g.dir.CachedStanding(p, project); ok && Stands(p, a, repository, st) {
		return true, st, nil
	}
	if st, err = g.dir.Standing(ctx, p, project); err != nil {
		return false, st, err
	}
	return Stands(p, a, repository, st), st, nil
}

// Stands is Can for a principal with this standing: repository is a whole name for actions on content, else "". The
// admin API calls it with a standing that is read from the database for every request.
func Stands(p *core.Principal, a core.Action, repository string, st store.Standing) bool {
	if !st.Alive {
		return false
	}
	o := Object{Project: st.Project, Role: st.Role, Repository: repository}
	if p.Admin && !st.Admin {
		demoted := *p
		demoted.Admin = false
		return Can(&demoted, a, o)
	}
	// A robot's token was cut to its permissions when it was issued, and they may have been narrowed since.
	return Can(p, a, o) && (st.Robot == nil || Can(st.Robot, a, o))
}
