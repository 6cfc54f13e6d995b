package access

import (
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// Object is what an action is done to. The zero Object is the hub itself.
type Object struct {
	// Project is nil for the hub, and where no project of the name exists.
	Project *core.Project
	// Role is what the principal is in Project.
	Role core.Role
	// Repository is the whole name ("project/path") for actions on the content of a repository, else "".
	Repository string
}

// rank orders the roles: each may do what the ones before it may. 0 is no role.
func rank(r core.Role) int {
	switch r {
	case core.RoleGuest:
		return 1
	case core.RoleDeveloper:
		return 2
	case core.RoleMaintainer:
		return 3
	case core.RoleOwner:
		return 4
	}
	return 0
}

// needs is the table: the least role that may do an action in a project. RoleNone: no role may.
func needs(a core.Action) core.Role {
	switch a {
	case core.ActionPull, core.ActionProjectRead:
		return core.RoleGuest
	case core.ActionPush, core.ActionSign, core.ActionArtifactLabel:
		return core.RoleDeveloper
	case core.ActionDelete, core.ActionScan, core.ActionRepoWrite, core.ActionLabelWrite, core.ActionProjectWrite,
		core.ActionAuditRead, core.ActionMemberRead, core.ActionRobotRead:
		return core.RoleMaintainer
	case core.ActionProjectPolicy, core.ActionProjectDelete, core.ActionMemberWrite, core.ActionRobotWrite,
		core.ActionWebhookWrite:
		return core.RoleOwner
	}
	return core.RoleNone
}

// onRepository reports whether an action is one on the content of a repository, which grants can name.
func onRepository(a core.Action) bool {
	switch a {
	case core.ActionPull, core.ActionPush, core.ActionDelete, core.ActionSign, core.ActionScan:
		return true
	}
	return false
}

// anySignedIn are the actions that need no project: whoever has an account may.
func anySignedIn(a core.Action) bool {
	switch a {
	case core.ActionSelf, core.ActionHubInfoRead, core.ActionHubProjectCreate:
		return true
	}
	return false
}

// known reports whether an action is one of core's. What is none is allowed to nobody.
func known(a core.Action) bool {
	switch a {
	case core.ActionHubQuotaWrite, core.ActionHubUserRead, core.ActionHubUserWrite, core.ActionHubAuditRead,
		core.ActionHubJobRead, core.ActionHubJobWrite, core.ActionHubKeyRotate, core.ActionHubTrustWrite, core.ActionHubHealthRead,
		core.ActionHubRegistryRead, core.ActionHubRegistryWrite, core.ActionHubScannerRead, core.ActionHubScannerWrite, core.ActionHubAliasWrite,
		core.ActionHubWebhookWrite:
		return true
	}
	return anySignedIn(a) || needs(a) != core.RoleNone
}

// Can reports whether p may do a to o. It is pure and total: whatever it does not know it refuses. It believes p and o;
// whether a principal still is what it was when it logged in is asked by Guard.
//
// The grants of a principal only ever narrow what it may do, and allow nothing but actions on repositories and reading
// the project they reach. A robot has no role: in its own project it may do what its permissions say, and elsewhere what
// everybody may.
func Can(p *core.Principal, a core.Action, o Object) bool {
	if p == nil || !known(a) || !wellFormed(a, o) {
		return false
	}
	return within(p, a, o) && entitled(p, a, o)
}

// wellFormed refuses questions that contradict themselves.
func wellFormed(a core.Action, o Object) bool {
	if !onRepository(a) {
		return true
	}
	project, path, ok := strings.Cut(o.Repository, "/")
	return ok && project != "" && path != "" && (o.Project == nil || o.Project.Name == project)
}

// entitled reports whether the party itself may, whatever its credential is good for.
func entitled(p *core.Principal, a core.Action, o Object) bool {
	switch p.Kind {
	case core.KindOperator, core.KindSystem:
		return true
	case core.KindAnonymous:
		return open(a, o)
	case core.KindRobot:
		return open(a, o) || a == core.ActionHubInfoRead || robotMay(p, a, o)
	case core.KindUser:
		return p.Admin || open(a, o) || anySignedIn(a) || roleMay(a, o)
	}
	return false
}

// open reports what everybody may.
func open(a core.Action, o Object) bool {
	return o.Project != nil && o.Project.Public() && (a == core.ActionPull || a == core.ActionProjectRead)
}

func roleMay(a core.Action, o Object) bool {
	least := needs(a)
	return o.Project != nil && least != core.RoleNone && rank(o.Role) >= rank(least)
}

// robotMay reports what a robot may in its own project. Of a token that was issued to it the scopes have been compared
// with its permissions then; Guard compares them again with the permissions of now.
func robotMay(p *core.Principal, a core.Action, o Object) bool {
	if o.Project == nil || p.Project == "" || o.Project.ID != p.Project {
		return false
	}
	if a == core.ActionProjectRead {
		return true
	}
	return onRepository(a) && covers(p, a, o.Repository)
}

// within reports whether the credential is good for it.
func within(p *core.Principal, a core.Action, o Object) bool {
	switch {
	case p.Grants == nil && !p.RegistryToken:
		return true
	case p.Kind == core.KindRobot && !p.RegistryToken:
		return true // its grants are its rights, no bound of them: what everybody may is open to it as well
	case onRepository(a):
		return covers(p, a, o.Repository)
	case a == core.ActionProjectRead:
		return o.Project != nil && reaches(p, o.Project)
	}
	return a == core.ActionHubInfoRead // the version of the hub: whoever has a credential
}

// covers reports whether a grant of p allows an action on a repository. push implies sign.
func covers(p *core.Principal, a core.Action, repository string) bool {
	name := repository
	if p.Kind == core.KindRobot && !p.RegistryToken {
		_, name, _ = strings.Cut(repository, "/") // a robot's patterns are of its own project
	}
	for i := range p.Grants {
		g := &p.Grants[i]
		if names(g.Actions, a) && Match(g.Repository, name) {
			return true
		}
	}
	return false
}

func names(actions []core.Action, a core.Action) bool {
	for _, have := range actions {
		if have == a || a == core.ActionSign && have == core.ActionPush {
			return true
		}
	}
	return false
}

// reaches reports whether a grant of p names anything that could be in a project.
func reaches(p *core.Principal, project *core.Project) bool {
	for i := range p.Grants {
		if g := &p.Grants[i]; len(g.Actions) > 0 && touches(g.Repository, project.Name) {
			return true
		}
	}
	return false
}
