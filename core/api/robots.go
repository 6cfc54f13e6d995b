package api

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showRobot(r *store.Robot) Robot {
	return Robot{ID: r.ID, Name: r.Name, Username: r.Username(), Description: r.Description, Permissions: showGrants(r.Permissions),
		Disabled: r.Disabled, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: optional(r.LastUsedAt)}
}

func showGrants(grants []core.Grant) []Grant {
	out := make([]Grant, 0, len(grants))
	for _, g := range grants {
		actions := make([]RepositoryAction, 0, len(g.Actions))
		for _, action := range g.Actions {
			actions = append(actions, RepositoryAction(action))
		}
		out = append(out, Grant{Repository: g.Repository, Actions: actions})
	}
	return out
}

func readGrants(grants []Grant) []core.Grant {
	out := make([]core.Grant, 0, len(grants))
	for _, g := range grants {
		actions := make([]core.Action, 0, len(g.Actions))
		for _, action := range g.Actions {
			actions = append(actions, core.Action(action))
		}
		out = append(out, core.Grant{Repository: g.Repository, Actions: actions})
	}
	return out
}

// seconds is a duration of a body, 0 if there is none.
func seconds(v *int64) time.Duration {
	if v == nil {
		return 0
	}
	return time.Duration(*v) * time.Second
}

// CreateRobot makes a robot and shows its secret, once.
func (a *API) CreateRobot(ctx context.Context, r CreateRobotRequestObject) (CreateRobotResponseObject, error) {
	c := callOf(ctx)
	robot, secret, err := a.store.CreateRobot(ctx, c.project(), store.NewRobot{Name: r.Body.Name, Description: text(r.Body.Description),
		Permissions: readGrants(r.Body.Permissions), Life: seconds(r.Body.ExpiresIn)})
	if err != nil {
		return nil, err
	}
	v := showRobot(robot)
	return CreateRobot201JSONResponse{
		Body: RobotCreated{ID: v.ID, Name: v.Name, Username: v.Username, Description: v.Description, Permissions: v.Permissions,
			Disabled: v.Disabled, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt, ExpiresAt: v.ExpiresAt, Secret: secret},
		Headers: CreateRobot201ResponseHeaders{Location: a.location("projects", c.project().Name, "robots", v.ID), ETag: etag(robot.Revision)},
	}, nil
}

// ListRobots lists the robots of a project.
func (a *API) ListRobots(ctx context.Context, r ListRobotsRequestObject) (ListRobotsResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Robot, bool, error) {
			return a.store.Robots(ctx, callOf(ctx).project(), after, n)
		}, func(r *store.Robot) string { return r.Name }, showRobot)
	if err != nil {
		return nil, err
	}
	return ListRobots200JSONResponse{Body: items, Headers: ListRobots200ResponseHeaders{Link: link}}, nil
}

// GetRobot shows a robot, without its secret.
func (a *API) GetRobot(ctx context.Context, r GetRobotRequestObject) (GetRobotResponseObject, error) {
	robot, err := a.store.Robot(ctx, callOf(ctx).project(), r.ID)
	if err != nil {
		return nil, err
	}
	return GetRobot200JSONResponse{Body: showRobot(robot), Headers: GetRobot200ResponseHeaders{ETag: etag(robot.Revision)}}, nil
}

// UpdateRobot changes a robot.
func (a *API) UpdateRobot(ctx context.Context, r UpdateRobotRequestObject) (UpdateRobotResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	patch := store.RobotPatch{Description: r.Body.Description, Disabled: r.Body.Disabled}
	if r.Body.Permissions != nil {
		grants := readGrants(*r.Body.Permissions)
		patch.Permissions = &grants
	}
	if r.Body.ExpiresIn != nil {
		life := seconds(r.Body.ExpiresIn)
		patch.Life = &life
	}
	robot, err := a.store.UpdateRobot(ctx, callOf(ctx).project(), r.ID, patch, revision)
	if err != nil {
		return nil, err
	}
	return UpdateRobot200JSONResponse{Body: showRobot(robot), Headers: UpdateRobot200ResponseHeaders{ETag: etag(robot.Revision)}}, nil
}

// DeleteRobot removes a robot.
func (a *API) DeleteRobot(ctx context.Context, r DeleteRobotRequestObject) (DeleteRobotResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteRobot204Response{}, a.store.DeleteRobot(ctx, callOf(ctx).project(), r.ID, revision)
}

// RotateRobot gives a robot a new secret and shows it, once.
func (a *API) RotateRobot(ctx context.Context, r RotateRobotRequestObject) (RotateRobotResponseObject, error) {
	overlap := store.DefaultRotation
	if r.Body != nil && r.Body.Overlap != nil {
		overlap = seconds(r.Body.Overlap)
	}
	robot, secret, err := a.store.RotateRobot(ctx, callOf(ctx).project(), r.ID, overlap)
	if err != nil {
		return nil, err
	}
	out := RobotSecret{ID: robot.ID, Username: robot.Username(), Secret: secret}
	if overlap > 0 {
		out.PreviousValidUntil = optional(robot.UpdatedAt.Add(overlap))
	}
	return RotateRobot200JSONResponse{Body: out, Headers: RotateRobot200ResponseHeaders{ETag: etag(robot.Revision)}}, nil
}
