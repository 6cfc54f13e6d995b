package access

import (
	"context"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Types of resources in scopes of docker's token protocol.
const (
	TypeRepository = "repository"
	TypeRegistry   = "registry"
)

const (
	catalog = "catalog"
	// CatalogGrant is how the right to ask for the catalog stands among the grants of a principal with a registry
	// token: no repository has such a name.
	CatalogGrant = "registry:catalog"
	// ActionAny stands for all actions in a scope, and for the only one in that of the catalog.
	ActionAny core.Action = "*"
	// library is the project of names without one.
	library = "library/"
)

// Limits of what one token request may ask for.
const (
	MaxScopes      = 64
	maxScopeLength = 1024
)

// Scope is one resource and what is wanted or allowed there, as docker's token protocol writes it:
// "repository:project/app:pull,push", "registry:catalog:*".
type Scope struct {
	Type    string
	Class   string // of "repository(plugin)"; mostly ""
	Name    string // of a repository the whole name, never a short one
	Actions []core.Action
}

func (s Scope) String() string {
	t := s.Type
	if s.Class != "" {
		t += "(" + s.Class + ")"
	}
	return t + ":" + s.Name + ":" + joined(s.Actions)
}

func joined(actions []core.Action) string {
	var b strings.Builder
	for i, a := range actions {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(a))
	}
	return b.String()
}

// ParseScopes reads the scope parameters of a token request, each of which may hold several with spaces between them.
// The same resource twice is one, with the actions of both. An error is *core.Error with CodeInvalid.
func ParseScopes(params []string) ([]Scope, error) {
	var out []Scope
	for _, param := range params {
		for text := range strings.FieldsSeq(param) {
			s, err := ParseScope(text)
			if err != nil {
				return nil, err
			}
			if out = merge(out, s); len(out) > MaxScopes {
				return nil, core.Invalid("scope", "a token has at most %d scopes: ask for several tokens", MaxScopes)
			}
		}
	}
	return out, nil
}

func merge(all []Scope, s Scope) []Scope {
	for i := range all {
		if all[i].Type == s.Type && all[i].Class == s.Class && all[i].Name == s.Name {
			for _, a := range s.Actions {
				if !slices.Contains(all[i].Actions, a) {
					all[i].Actions = append(all[i].Actions, a)
				}
			}
			return all
		}
	}
	return append(all, s)
}

// ParseScope reads one scope. A repository without project is one of the project library. Types that mean nothing here
// are read and later granted nothing.
func ParseScope(text string) (Scope, error) {
	kind, rest, ok := strings.Cut(text, ":")
	last := strings.LastIndexByte(rest, ':')
	if !ok || last < 0 || len(text) > maxScopeLength {
		return Scope{}, core.Invalid("scope", "a scope has the form repository:<name>:<action>,<action>")
	}
	s := Scope{Type: kind, Name: rest[:last]}
	if t, class, ok := strings.Cut(kind, "("); ok && strings.HasSuffix(class, ")") {
		s.Type, s.Class = t, strings.TrimSuffix(class, ")")
	}
	if s.Type == TypeRepository {
		if !strings.Contains(s.Name, "/") {
			s.Name = library + s.Name
		}
		if !registry.ValidName(s.Name) {
			return Scope{}, core.Invalid("scope", "a scope names a repository as project/name, in lower case")
		}
	}
	for a := range strings.SplitSeq(rest[last+1:], ",") {
		if a != "" && !slices.Contains(s.Actions, core.Action(a)) {
			s.Actions = append(s.Actions, core.Action(a))
		}
	}
	return s, nil
}

// Granted is what of the requested scopes p may have right now: the resources in the same order without those of which
// nothing is left. "*" asks for whatever is allowed. Who asks for push and may only sign gets sign, which is a part of it.
func (g *Guard) Granted(ctx context.Context, p *core.Principal, requested []Scope) ([]Scope, error) {
	var out []Scope
	look := look{dir: g.dir, p: p, live: map[string]store.Standing{}}
	for _, s := range requested {
		var actions []core.Action
		var err error
		switch {
		case s.Type == TypeRepository && s.Name != "":
			actions, err = look.granted(ctx, s)
		case s.Type == TypeRegistry && s.Name == catalog && slices.Contains(s.Actions, ActionAny):
			actions, err = g.grantedCatalog(ctx, p)
		}
		if err != nil {
			return nil, err
		}
		if len(actions) > 0 {
			s.Actions = actions
			out = append(out, s)
		}
	}
	return out, nil
}

// look is one token request's look at what somebody may. It asks the database once for each project, however many scopes
// and actions there are: whoever has no rights at all could make it work hardest.
type look struct {
	dir  *store.Directory
	p    *core.Principal
	live map[string]store.Standing // by project
}

// granted is what of one scope p may have. As with Guard.May, memory is good for allowing and not for refusing.
func (l *look) granted(ctx context.Context, s Scope) ([]core.Action, error) {
	project, _, _ := strings.Cut(s.Name, "/")
	st, known := l.live[project]
	if !known {
		if cached, ok := l.dir.CachedStanding(l.p, project); ok {
			if actions, all := l.permitted(s, cached); all {
				return actions, nil
			}
		}
		var err error
		if st, err = l.dir.Standing(ctx, l.p, project); err != nil {
			return nil, err
		}
		l.live[project] = st
	}
	actions, _ := l.permitted(s, st)
	return actions, nil
}

// permitted is what of a scope p may have with this standing; all says that nothing was refused.
func (l *look) permitted(s Scope, st store.Standing) (out []core.Action, all bool) {
	all = true
	for _, a := range core.RepositoryActions() {
		asked := slices.Contains(s.Actions, a) || slices.Contains(s.Actions, ActionAny) ||
			a == core.ActionSign && slices.Contains(s.Actions, core.ActionPush)
		if !asked || a == core.ActionSign && slices.Contains(out, core.ActionPush) {
			continue // push implies sign
		}
		if Stands(l.p, a, s.Name, st) {
			out = append(out, a)
		} else {
			all = false
		}
	}
	return out, all
}

// grantedCatalog: everybody may have the catalog, because it lists only what one may see. The exception are credentials
// that are bound to some repositories: their bounds would be lost in the token. A robot's are looked up again.
func (g *Guard) grantedCatalog(ctx context.Context, p *core.Principal) ([]core.Action, error) {
	if p.RegistryToken || p.Kind == core.KindUser && p.Grants != nil {
		return nil, nil
	}
	st, err := g.dir.Self(ctx, p)
	if err != nil || !st.Alive {
		return nil, err
	}
	return []core.Action{ActionAny}, nil
}

// Grants turns granted scopes into the grants of the principal who will come with the token.
func Grants(granted []Scope) []core.Grant {
	out := make([]core.Grant, 0, len(granted))
	for _, s := range granted {
		switch {
		case s.Type == TypeRepository:
			out = append(out, core.Grant{Repository: s.Name, Actions: s.Actions})
		case s.Type == TypeRegistry && s.Name == catalog:
			out = append(out, core.Grant{Repository: CatalogGrant, Actions: s.Actions})
		}
	}
	return out
}

// mayList reports whether p can ask for the catalog at all; what it lists is filtered besides. Who sends no credentials is
// asked for them, because clients send them only then; an anonymous token is good for what is public.
func mayList(p *core.Principal) bool {
	if !p.RegistryToken {
		return p.Kind != "" && p.Kind != core.KindAnonymous
	}
	return slices.ContainsFunc(p.Grants, func(g core.Grant) bool {
		return g.Repository == CatalogGrant && slices.Contains(g.Actions, ActionAny)
	})
}
