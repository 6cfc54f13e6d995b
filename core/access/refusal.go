package access

import (
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// refuse says why p may not do a to a repository. It depends on the credential and on the name alone, never on whether
// there is such a project or repository, unless the principal may see the project anyway.
func refuse(p *core.Principal, a core.Action, repository string, st store.Standing) error {
	project, _, _ := strings.Cut(repository, "/")
	verb := string(a)
	switch a {
	case core.ActionPull:
		verb = "pull from"
	case core.ActionPush:
		verb = "push to"
	case core.ActionDelete:
		verb = "delete in"
	case core.ActionSign:
		verb = "sign in"
	}
	e := &registry.Error{Code: registry.CodeDenied, Message: "you may not " + verb + " " + repository + ": ask an owner of project " +
		project + " for the role " + string(needs(a)) + ", or log in as somebody else"}
	anonymous := p.Kind == core.KindAnonymous || p.Kind == ""
	tooNarrow := p.RegistryToken && !within(p, a, Object{Repository: repository})
	switch {
	case !st.Alive && !anonymous:
		e.Message = "your account is disabled, has expired or is gone: log in again, or ask an administrator"
		e.Code = registry.CodeUnauthorized
	case anonymous:
		e.Code = registry.CodeUnauthorized
		e.Message = "you may not " + verb + " " + repository + " without logging in: log in as somebody with the role " +
			string(needs(a)) + " in project " + project
	case tooNarrow:
		e.Code = registry.CodeUnauthorized
	case p.Kind == core.KindRobot:
		e.Message = "this robot may not " + verb + " " + repository + ": ask an owner of its project for a permission that names it"
	case p.Grants != nil && !p.RegistryToken && !within(p, a, Object{Repository: repository}):
		e.Message = "this personal token may not " + verb + " " + repository + ": make one with a scope that names it, or log in with another"
	}
	if e.Code == registry.CodeUnauthorized {
		e.Scope = challenge(a, repository)
		e.InsufficientScope = p.RegistryToken
	}
	return e
}

// challenge is the scope that a token would need.
func challenge(a core.Action, repository string) string {
	switch a {
	case core.ActionPush, core.ActionSign:
		// Whoever pushes looks first at what is there.
		return Scope{Type: TypeRepository, Name: repository, Actions: []core.Action{core.ActionPull, core.ActionPush}}.String()
	}
	return Scope{Type: TypeRepository, Name: repository, Actions: []core.Action{a}}.String()
}

// refuseCatalog says that a token is not good for the catalog.
func refuseCatalog(p *core.Principal) error {
	message := "this token does not cover the list of repositories: log in again"
	if !p.RegistryToken {
		message = "the list of repositories needs a token, which everybody can have: log in, or ask the token service without credentials"
	}
	return &registry.Error{Code: registry.CodeUnauthorized, Message: message,
		Scope: Scope{Type: TypeRegistry, Name: catalog, Actions: []core.Action{ActionAny}}.String(), InsufficientScope: p.RegistryToken}
}

// noSuchProject tells somebody who may push everywhere what is missing.
func noSuchProject(repository string) error {
	project, _, _ := strings.Cut(repository, "/")
	return registry.NewError(registry.CodeNameUnknown, "there is no project "+project+": create it with: hallmark create project "+project)
}
