package api

import (
	"context"
	"slices"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/store"
)

// GetMe tells who the credential stands for.
func (a *API) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	c := callOf(ctx)
	p := c.principal
	me := Me{Kind: MeKind(p.Kind), Username: p.Name, Admin: p.Admin && c.standing.Admin, ID: optional(p.ID)}
	if p.Grants != nil {
		scopes := showGrants(p.Grants)
		me.Scopes = &scopes
	}
	tag := etag(1)
	switch p.Kind {
	case core.KindUser:
		u, err := a.store.AccountByID(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		me.Email, me.DisplayName, me.CreatedAt, tag = &u.Email, &u.DisplayName, &u.CreatedAt, etag(u.Revision)
	case core.KindRobot:
		r, err := a.directory.Robot(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		me.Project = &r.Project
	}
	return GetMe200JSONResponse{Body: me, Headers: GetMe200ResponseHeaders{ETag: tag}}, nil
}

// UpdateMe changes the profile of the user who asks. Whoever finds an open browser must not be able to redirect the mail
// (V-51): another address needs the password.
func (a *API) UpdateMe(ctx context.Context, r UpdateMeRequestObject) (UpdateMeResponseObject, error) {
	c := callOf(ctx)
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	u, err := a.store.AccountByID(ctx, c.principal.ID)
	if err != nil {
		return nil, err
	}
	if r.Body.Email != nil && *r.Body.Email != u.Email {
		if err := a.proven(c, r.Body.CurrentPassword); err != nil {
			return nil, err
		}
	}
	u, err = a.store.UpdateAccount(ctx, u.ID, store.AccountPatch{Email: r.Body.Email, DisplayName: r.Body.DisplayName}, revision)
	if err != nil {
		return nil, err
	}
	me := Me{Kind: MeKindUser, Username: u.Username, Admin: u.Admin, ID: &u.ID, Email: &u.Email, DisplayName: &u.DisplayName, CreatedAt: &u.CreatedAt}
	return UpdateMe200JSONResponse{Body: me, Headers: UpdateMe200ResponseHeaders{ETag: etag(u.Revision)}}, nil
}

// proven asks for the password: the one in the body, else one given within the last minutes.
func (a *API) proven(c *call, password *string) error {
	if password != nil {
		return a.currentPassword(c, *password)
	}
	ok, err := a.auth.Verified(c.request.Context(), c.principal)
	if err == nil && !ok {
		err = core.Errorf(core.CodeReauthenticate, "another e-mail address needs your password: send it as current_password")
	}
	return err
}

// currentPassword checks the password of the user who asks. A wrong one is a wrong field and not a wrong credential.
func (a *API) currentPassword(c *call, password string) error {
	err := a.auth.CheckPassword(c.request, c.principal, password)
	if core.CodeOf(err) == core.CodeUnauthenticated {
		return core.Invalid("/current_password", "this is not your current password")
	}
	return err
}

// ChangeMyPassword changes the password of the user who asks and ends its sessions.
func (a *API) ChangeMyPassword(ctx context.Context, r ChangeMyPasswordRequestObject) (ChangeMyPasswordResponseObject, error) {
	c := callOf(ctx)
	if err := a.currentPassword(c, r.Body.CurrentPassword); err != nil {
		return nil, err
	}
	return ChangeMyPassword204Response{}, a.auth.SetPassword(ctx, c.principal.ID, c.principal.Name, r.Body.Password)
}

// GetMyPermissions lists what the principal may do, so that pages and commands hide what is impossible.
func (a *API) GetMyPermissions(ctx context.Context, r GetMyPermissionsRequestObject) (GetMyPermissionsResponseObject, error) {
	c := callOf(ctx)
	out := Permissions{Hub: []string{}}
	hub, inProject := actions(a.rules)
	for _, action := range hub {
		if access.Stands(c.principal, action, "", c.standing) {
			out.Hub = append(out.Hub, string(action))
		}
	}
	name := text(r.Params.Project)
	if name == "" {
		return GetMyPermissions200JSONResponse(out), nil
	}
	st, err := a.directory.LiveStanding(ctx, c.principal, name)
	if err != nil {
		return nil, err
	}
	if st.Project == nil || !access.Stands(c.principal, core.ActionProjectRead, "", st) {
		return nil, core.Errorf(core.CodeNotFound, "there is no project %q, or you may not see it", name)
	}
	may := []string{}
	for _, action := range inProject {
		object := ""
		if slices.Contains(core.RepositoryActions(), action) {
			object = name + "/x" // what the grants of a credential allow differs from repository to repository
		}
		if access.Stands(c.principal, action, object, st) {
			may = append(may, string(action))
		}
	}
	out.Project, out.Role, out.Actions = &name, optional(Role(st.Role)), &may
	return GetMyPermissions200JSONResponse(out), nil
}

// actions are those of the rules, on the hub and in projects, in order.
func actions(all map[string]rule) (hub, inProject []core.Action) {
	for _, r := range all {
		switch {
		case r.on == onProject || r.on == onRepository:
			inProject = append(inProject, r.action)
		case r.action != "":
			hub = append(hub, r.action)
		}
	}
	hub, inProject = append(hub, core.ActionHubQuotaWrite), append(inProject, core.ActionProjectPolicy)
	slices.Sort(hub)
	slices.Sort(inProject)
	return slices.Compact(hub), slices.Compact(inProject)
}
