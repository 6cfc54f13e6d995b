package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showProject(p *core.Project, role core.Role) Project {
	return Project{ID: p.ID, Name: p.Name, Visibility: Visibility(p.Visibility), Baseline: Baseline(p.Baseline), Description: p.Description,
		QuotaBytes: p.QuotaBytes, SparseIndexes: p.SparseIndexes, AttachVerdicts: p.AttachVerdicts, Scanner: p.Scanner,
		ScanOnPush: p.ScanOnPush, ScanSchedule: p.ScanSchedule, SbomOnPush: p.SBOMOnPush, Registry: optional(p.Registry),
		Role: optional(Role(role)), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt}
}

// CreateProject makes a project, owned by the user who makes it.
func (a *API) CreateProject(ctx context.Context, r CreateProjectRequestObject) (CreateProjectResponseObject, error) {
	c := callOf(ctx)
	if r.Body.QuotaBytes != nil {
		if err := a.quotaAllowed(c); err != nil {
			return nil, err
		}
	}
	if r.Body.Registry != nil {
		if err := a.registryAllowed(c); err != nil {
			return nil, err
		}
	}
	baseline := core.Baseline(text(r.Body.Baseline))
	if baseline == "" {
		baseline = a.baseline
	}
	n := store.NewProject{Name: r.Body.Name, Visibility: core.Visibility(r.Body.Visibility), Baseline: baseline,
		Description: text(r.Body.Description), Registry: text(r.Body.Registry)}
	if r.Body.QuotaBytes != nil {
		n.QuotaBytes = *r.Body.QuotaBytes
	}
	if r.Body.SparseIndexes != nil {
		n.SparseIndexes = *r.Body.SparseIndexes
	}
	n.AttachVerdicts, n.SBOMOnPush = isTrue(r.Body.AttachVerdicts), r.Body.SbomOnPush
	p, err := a.store.CreateProject(ctx, n)
	if err != nil {
		return nil, err
	}
	role := core.RoleNone
	if c.principal.Kind == core.KindUser {
		role = core.RoleOwner
	}
	return CreateProject201JSONResponse{Body: showProject(p, role), Headers: CreateProject201ResponseHeaders{
		Location: a.location("projects", p.Name), ETag: etag(p.Revision)}}, nil
}

// quotaAllowed refuses a quota from anybody but an administrator.
func (a *API) quotaAllowed(c *call) error {
	return a.mayAlso(c, core.ActionHubQuotaWrite, &core.Error{Code: core.CodeForbidden,
		Message: "only an administrator of the hub sets quotas: leave quota_bytes out",
		Fields:  []core.FieldError{{Pointer: "/quota_bytes", Message: "is for administrators"}}})
}

// registryAllowed refuses a project in front of another registry from anybody but an administrator: it would make the hub
// talk to hosts of its choice, and use the hub's credentials there.
func (a *API) registryAllowed(c *call) error {
	return a.mayAlso(c, core.ActionHubRegistryWrite, &core.Error{Code: core.CodeForbidden,
		Message: "only an administrator of the hub puts a project in front of another registry: leave registry out",
		Fields:  []core.FieldError{{Pointer: "/registry", Message: "is for administrators"}}})
}

// policyAllowed refuses what lowers a guard from anybody but an owner.
func (a *API) policyAllowed(c *call) error {
	return a.mayAlso(c, core.ActionProjectPolicy, core.Errorf(core.CodeForbidden,
		"visibility, baseline, sparse indexes, what the hub attaches and which scanner scans what is pushed need %s in the project: change the description alone, or ask an owner",
		needed(core.ActionProjectPolicy)))
}

// ListProjects lists what the principal may see.
func (a *API) ListProjects(ctx context.Context, r ListProjectsRequestObject) (ListProjectsResponseObject, error) {
	c := callOf(ctx)
	q := store.ProjectQuery{Visibility: core.Visibility(text(r.Params.Visibility)), Contains: text(r.Params.Q),
		Member: isTrue(r.Params.Member)}
	// A bound credential sees fewer than its owner.
	sees := func(l store.ListedProject) bool {
		return c.principal.Grants == nil || access.Can(c.principal, core.ActionProjectRead, access.Object{Project: &l.Project, Role: l.Role})
	}
	items, link, err := listOf(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]store.ListedProject, bool, error) {
			q.After, q.N = after, n
			return a.store.Projects(ctx, c.principal, q)
		}, func(l store.ListedProject) string { return l.Name }, sees,
		func(l store.ListedProject) Project { return showProject(&l.Project, l.Role) })
	if err != nil {
		return nil, err
	}
	return ListProjects200JSONResponse{Body: items, Headers: ListProjects200ResponseHeaders{Link: link}}, nil
}

// GetProject shows a project.
func (a *API) GetProject(ctx context.Context, _ GetProjectRequestObject) (GetProjectResponseObject, error) {
	c := callOf(ctx)
	shown := GetProject200JSONResponse{Body: showProject(c.project(), c.standing.Role), Headers: GetProject200ResponseHeaders{ETag: etag(c.project().Revision)}}
	if c.project().Registry != "" {
		return shown, nil // the registry behind counts what it has
	}
	usage, err := a.store.Usage(ctx, c.project())
	if err != nil {
		return nil, err
	}
	shown.Body.Repositories = &usage.Repositories
	ownRobot := c.standing.Robot != nil && c.standing.Robot.Project == c.project().ID
	if c.standing.Role != core.RoleNone || c.standing.Admin || ownRobot {
		shown.Body.UsedBytes = &usage.Bytes
	}
	return shown, nil
}

// UpdateProject changes a project. Each field asks for its own right (V-04): what lowers a guard is for owners, the quota
// for administrators.
func (a *API) UpdateProject(ctx context.Context, r UpdateProjectRequestObject) (UpdateProjectResponseObject, error) {
	c := callOf(ctx)
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	b := r.Body
	if b.Visibility != nil || b.Baseline != nil || b.SparseIndexes != nil || b.AttachVerdicts != nil || b.Scanner != nil || b.ScanOnPush != nil || b.SbomOnPush != nil {
		if err := a.policyAllowed(c); err != nil {
			return nil, err
		}
	}
	if b.QuotaBytes != nil {
		if err := a.quotaAllowed(c); err != nil {
			return nil, err
		}
	}
	if b.ScanSchedule != nil {
		if err := CheckScanSchedule(*b.ScanSchedule, a.store.Now()); err != nil {
			return nil, err
		}
	}
	p, err := a.store.UpdateProject(ctx, c.project(), store.ProjectPatch{Visibility: (*core.Visibility)(b.Visibility),
		Baseline: (*core.Baseline)(b.Baseline), Description: b.Description, SparseIndexes: b.SparseIndexes, QuotaBytes: b.QuotaBytes,
		AttachVerdicts: b.AttachVerdicts, Scanner: b.Scanner, ScanOnPush: b.ScanOnPush, ScanSchedule: b.ScanSchedule,
		SBOMOnPush: b.SbomOnPush}, revision)
	if err != nil {
		return nil, err
	}
	return UpdateProject200JSONResponse{Body: showProject(p, c.standing.Role), Headers: UpdateProject200ResponseHeaders{ETag: etag(p.Revision)}}, nil
}

// DeleteProject removes an empty project.
func (a *API) DeleteProject(ctx context.Context, r DeleteProjectRequestObject) (DeleteProjectResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteProject204Response{}, a.store.DeleteProject(ctx, callOf(ctx).project(), revision)
}
