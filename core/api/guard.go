package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/api/spec"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/registry"
)

// identify finds out who asks.
type identify func(r *http.Request) (*core.Principal, error)

// guard stands in front of every generated route: who asks, whether the request is one of openapi.yaml, whether it may be done.
// What is refused for rights is refused before anything of the body is read.
func (a *API) guard(who identify) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := a.serve(w, r, who, next); err != nil {
				a.errors.Write(w, r, err)
			}
		})
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, who identify, next http.Handler) error {
	op := a.spec.Operation(r.Method, strings.TrimPrefix(chi.RouteContext(r.Context()).RoutePattern(), a.spec.Base))
	if op == nil {
		return core.Errorf(core.CodeNotFound, "there is nothing at this address")
	}
	p, err := who(r)
	if op.ID == "createSession" && core.CodeOf(err) == core.CodeUnauthenticated && len(r.Header["Authorization"]) == 0 {
		p, err = core.Anonymous(), nil // the cookie of a session that is over must keep nobody from logging in
	}
	if err != nil {
		return err
	}
	web.NotePrincipal(w, p)
	if err := a.sameOrigin(r, op, p); err != nil {
		return err
	}
	r = r.WithContext(core.WithPrincipal(r.Context(), p))
	c, err := a.admit(r, op, p)
	if err != nil {
		return err
	}
	if err := op.CheckQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if err := op.CheckHeader(r.Header); err != nil {
		return err
	}
	body, err := checkedBody(w, r, op)
	if err != nil {
		return err
	}
	c.who = who
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	return a.once(w, r, c, body, next)
}

// sameOrigin refuses what a foreign page could make a browser send: with the cookie, or to get one.
func (a *API) sameOrigin(r *http.Request, op *spec.Operation, p *core.Principal) error {
	if isSession(p) {
		return a.crossOrigin.Check(r, true)
	}
	if op.Anonymous {
		return a.crossOrigin.Check(r, false)
	}
	return nil
}

func isSession(p *core.Principal) bool { return strings.HasPrefix(p.Credential, "session:") }

// admit decides whether p may do the operation.
func (a *API) admit(r *http.Request, op *spec.Operation, p *core.Principal) (*call, error) {
	c := &call{op: op, principal: p, request: r}
	rule, ok := a.rules[op.ID]
	if !ok {
		return nil, core.Errorf(core.CodeForbidden, "this operation is not open to anybody")
	}
	param := func(name string) string { return pathValue(r, name) }
	if !op.CheckPath(param) {
		own := rule.on == onSelf && p.Kind == core.KindUser && p.Grants == nil
		if p.Admin || own { // who may see whatever there could be is told that there is no such thing
			return nil, core.Errorf(core.CodeNotFound, "there is no such thing")
		}
		return nil, a.refuse(p, rule, false)
	}
	if rule.on == onAnybody {
		return c, nil
	}
	project := ""
	if rule.on == onProject || rule.on == onRepository {
		project = param("project")
	}
	if rule.on == onRepository {
		c.repository = project + "/" + param("repository")
		if len(c.repository) > registry.MaxNameLength {
			return nil, a.refuse(p, rule, false)
		}
	}
	var err error
	if c.standing, err = a.directory.LiveStanding(r.Context(), p, project); err != nil {
		return nil, err
	}
	if !c.standing.Alive {
		return nil, core.Errorf(core.CodeUnauthenticated, "this account is disabled, gone or has expired: log in as somebody else")
	}
	return c, a.decide(c, rule)
}

func (a *API) decide(c *call, rule rule) error {
	p, inProject := c.principal, rule.on == onProject || rule.on == onRepository
	object := ""
	if slices.Contains(core.RepositoryActions(), rule.action) {
		object = c.repository
	}
	own := c.op.ID == "getUser" && p.Kind == core.KindUser && pathValue(c.request, "username") == p.Name && access.Stands(p, core.ActionSelf, "", c.standing)
	switch {
	case inProject && c.standing.Project == nil: // the same for what is not there and for what may not be seen
		return a.refuse(p, rule, false)
	case own:
	case !access.Stands(p, rule.action, object, c.standing):
		return a.refuse(p, rule, inProject && c.sees())
	}
	if rule.on == onSelf && p.Kind != core.KindUser {
		return core.Errorf(core.CodeForbidden, "only a user can do this, and %s is none", p.Name)
	}
	if in := c.standing.Project; rule.stored && in != nil && in.Registry != "" {
		return core.Errorf(core.CodeConflict, "what is in project %s lies in the registry %s, which this hub stands in front of: list and change it there, or with the clients of a registry through this hub", in.Name, in.Registry)
	}
	if rule.fresh && isSession(p) {
		return a.mustBeFresh(c.request)
	}
	return a.freshEnough(c, rule.action, object)
}

// mayAlso decides on an action besides that of the operation's row, as decide does on that one: no says what who may not
// is told.
func (a *API) mayAlso(c *call, action core.Action, no *core.Error) error {
	if !c.can(action) {
		return no
	}
	return a.freshEnough(c, action, "")
}

// sees says whether the principal may know of what the path names.
func (c *call) sees() bool {
	if !c.can(core.ActionProjectRead) {
		return false
	}
	if c.repository == "" {
		return true
	}
	for _, action := range core.RepositoryActions() {
		if c.canOn(action, c.repository) {
			return true
		}
	}
	return false
}

// freshEnough asks for the password again where only the rights of an administrator allow a change and a cookie is all
// that vouches for them (W-14): a browser left open must not be enough.
func (a *API) freshEnough(c *call, action core.Action, object string) error {
	if !isSession(c.principal) || c.request.Method == http.MethodGet || c.request.Method == http.MethodHead {
		return nil
	}
	plain := *c.principal
	plain.Admin = false
	if access.Stands(&plain, action, object, c.standing) {
		return nil
	}
	return a.mustBeFresh(c.request)
}

// refuse says why not. visible: the principal may know that what the path names is there.
func (a *API) refuse(p *core.Principal, rule rule, visible bool) error {
	need := needed(rule.action)
	switch {
	case p.Kind == core.KindAnonymous:
		return core.Errorf(core.CodeUnauthenticated, "log in: this needs a personal token, or user name and password")
	case (rule.on == onProject || rule.on == onRepository) && !visible:
		return core.Errorf(core.CodeNotFound, "there is no such thing, or you may not see it")
	case p.Grants != nil && p.Kind == core.KindUser:
		return core.Errorf(core.CodeForbidden, "this token is bound to actions on repositories that do not include this: use another token")
	case p.Kind == core.KindRobot:
		return core.Errorf(core.CodeForbidden, "the robot %s has no permission for this", p.Name)
	case need == "":
		return core.Errorf(core.CodeForbidden, "only an administrator of the hub may do this")
	}
	return core.Errorf(core.CodeForbidden, "this needs %s in the project: ask one of its owners", need)
}

// pathValue is the decoded part of a path; what cannot be decoded is no name.
func pathValue(r *http.Request, name string) string {
	v, err := url.PathUnescape(chi.URLParam(r, name))
	if err != nil {
		return "\x00"
	}
	return v
}

// checkedBody reads the body, if the operation has one, and puts it back for the generated code.
func checkedBody(w http.ResponseWriter, r *http.Request, op *spec.Operation) ([]byte, error) {
	if op.File {
		return nil, nil
	}
	if op.Body == nil {
		if r.ContentLength != 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			if n, _ := io.CopyN(io.Discard, r.Body, 1); n > 0 {
				return nil, core.Errorf(core.CodeInvalid, "this request takes no body")
			}
		}
		return nil, nil
	}
	body, err := web.ReadJSON(w, r, web.MaxBody)
	if err != nil {
		return nil, err
	}
	if body == nil && op.BodyRequired {
		return nil, core.Errorf(core.CodeInvalid, "a JSON body is missing")
	}
	if body == nil {
		body = []byte("{}")
	}
	if err := op.Body.CheckBody(body); err != nil {
		return nil, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return body, nil
}
