package attack

import (
	"fmt"
	"testing"
)

// unique is a name that no other test has.
func unique(name string) string { return name + "-" + random(4) }

// user makes a user and a personal token of it, which it comes with: that needs no password hash for every request.
func (h *hub) user(t testing.TB, name string) who {
	t.Helper()
	p := h.passwordUser(t, name)
	return basic(p.user, h.personalToken(t, p, nil))
}

// passwordUser makes a user who comes with the password.
func (h *hub) passwordUser(t testing.TB, name string) who {
	t.Helper()
	p := basic(unique(name), h.secrets.add("a password", "pw-"+random(12)))
	h.do(t, h.admin(), "POST", "/api/v1/users", map[string]any{"username": p.user, "password": p.secret}).want(t, "make a user", 201)
	return p
}

// personalToken makes a personal token.
func (h *hub) personalToken(t testing.TB, p who, scopes any) string {
	t.Helper()
	return h.personalTokenWithID(t, p, scopes).secret
}

type credential struct{ id, user, secret string }

func (h *hub) personalTokenWithID(t testing.TB, p who, scopes any) credential {
	t.Helper()
	body := map[string]any{"name": unique("token")}
	if scopes != nil {
		body["scopes"] = scopes
	}
	var v struct{ ID, Token string }
	h.do(t, p, "POST", "/api/v1/users/me/tokens", body).want(t, "make a personal token", 201).decode(t, &v)
	return credential{v.ID, p.user, h.secrets.add("a personal token", v.Token)}
}

// project makes a project of the administrator.
func (h *hub) project(t testing.TB, name, visibility string) string {
	t.Helper()
	name = unique(name)
	h.do(t, h.admin(), "POST", "/api/v1/projects", map[string]any{"name": name, "visibility": visibility}).want(t, "make a project", 201)
	return name
}

// member gives somebody a role.
func (h *hub) member(t testing.TB, project string, p who, role string) who {
	t.Helper()
	path := "/api/v1/projects/" + project + "/members/" + p.user
	h.do(t, h.admin(), "PUT", path, map[string]any{"role": role}, headers{"If-Match": "*"}).want(t, "make a member", 200, 201)
	p.name = role
	return p
}

// newMember makes a user with a role in a project.
func (h *hub) newMember(t testing.TB, project, role string) who {
	t.Helper()
	return h.member(t, project, h.user(t, role), role)
}

type grant struct {
	Repository string   `json:"repository"`
	Actions    []string `json:"actions"`
}

// robot makes a robot of a project.
func (h *hub) robot(t testing.TB, project string, grants ...grant) credential {
	t.Helper()
	var v struct{ ID, Username, Secret string }
	h.do(t, h.admin(), "POST", "/api/v1/projects/"+project+"/robots", map[string]any{"name": unique("ci"), "permissions": grants}).
		want(t, "make a robot", 201).decode(t, &v)
	return credential{v.ID, v.Username, h.secrets.add("a robot's secret", v.Secret)}
}

func (c credential) who() who { return basic(c.user, c.secret) }

// everybody is one principal of each kind, seen from a project.
func (h *hub) everybody(t testing.TB, project string) []who {
	t.Helper()
	out := []who{anonymous()}
	stranger := h.user(t, "stranger")
	stranger.name = "stranger"
	out = append(out, stranger)
	for _, role := range []string{"guest", "developer", "maintainer", "owner"} {
		out = append(out, h.newMember(t, project, role))
	}
	reader := h.robot(t, project, grant{"**", []string{"pull"}}).who()
	reader.name = "robot that pulls"
	other := h.robot(t, h.project(t, "elsewhere", "private"), grant{"**", []string{"pull", "push", "delete"}}).who()
	other.name = "robot of another project"
	admin := h.admin()
	return append(out, reader, other, admin)
}

func (w who) String() string { return fmt.Sprintf("%s (%s)", w.name, w.user) }
