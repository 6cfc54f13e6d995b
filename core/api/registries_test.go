package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// An administrator names an existing registry and puts projects in front of it; nobody else does, and nobody is shown the password.
func TestRegistriesAreForAdministrators(t *testing.T) {
	eachHub(t, func(h *hub) {
		const secret = "password-canary"
		behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != secret {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		defer behind.Close()
		root, alice := h.user("root", true), h.user("alice", false)
		body := jsonBody("url", behind.URL, "plain_http", true, "username", "hub", "password", secret)
		h.call(alice, "PUT", "/registries/old", body).wantProblem(403, core.CodeForbidden)
		made := h.call(root, "PUT", "/registries/old", body).want(201)
		h.call(root, "PUT", "/registries/old", body).wantProblem(428, core.CodeIfMatchRequired)
		h.call(root, "PUT", "/registries/old", jsonBody("url", behind.URL, "plain_http", true, "username", "hub"), "If-Match", made.Header.Get("ETag")).want(200)
		var check RegistryCheck
		h.call(root, "POST", "/registries/old/check", "").want(200).into(&check)
		if !check.Ok || check.Message != "" {
			t.Errorf("%+v", check)
		}
		h.call(root, "PUT", "/registries/old", jsonBody("url", behind.URL, "plain_http", true, "username", "hub", "password", "wrong"), "If-Match", "*").want(200)
		h.call(root, "POST", "/registries/old/check", "").want(200).into(&check)
		if check.Ok || !strings.Contains(check.Message, "does not accept the credentials") {
			t.Errorf("%+v", check)
		}
		for _, path := range []string{"/registries", "/registries/old", "/audit"} {
			if r := h.call(root, "GET", path, "").want(200); strings.Contains(string(r.Body), secret) || path != "/audit" && !strings.Contains(string(r.Body), behind.URL) {
				t.Errorf("%s: %s", path, r.Body)
			}
		}

		project := jsonBody("name", "front", "visibility", "public", "registry", "old")
		h.call(alice, "POST", "/projects", project).wantProblem(403, core.CodeForbidden)
		h.call(root, "POST", "/projects", jsonBody("name", "front", "visibility", "public", "registry", "none")).wantProblem(400, core.CodeInvalid)
		h.call(root, "POST", "/projects", project).want(201)
		h.call(root, "PATCH", "/projects/front", jsonBody("registry", "other"), "If-Match", "*").wantProblem(400, core.CodeInvalid)
		var shown Project
		h.call(alice, "GET", "/projects/front", "").want(200).into(&shown)
		if shown.Registry == nil || *shown.Registry != "old" || shown.Repositories != nil {
			t.Errorf("%+v", shown)
		}
		// What the hub does not know is said so, and is no empty list.
		for path, method := range map[string]string{"/projects/front/repositories": "GET", "/projects/front/repositories/app": "GET", "/projects/front/repositories/app/tags": "GET",
			"/projects/front/repositories/app/artifacts": "GET", "/projects/front/repositories/app/artifacts/1": "GET", "/projects/front/policies/dry-run": "POST"} {
			if p := h.call(root, method, path, jsonBody("document", "x")).wantProblem(409, core.CodeConflict); !strings.Contains(p.Detail, "lies in the registry old") {
				t.Errorf("%s: %s", path, p.Detail)
			}
		}
		if p := h.call(root, "DELETE", "/registries/old", "", "If-Match", "*").wantProblem(409, core.CodeConflict); !strings.Contains(p.Detail, "roject front stands") {
			t.Error(p.Detail)
		}
		h.call(root, "DELETE", "/projects/front", "", "If-Match", "*").want(204)
		h.call(root, "DELETE", "/registries/old", "", "If-Match", "*").want(204)
		if all, _, err := h.store.Registries(h.ctx, "", 0); err != nil || len(all) != 0 {
			t.Error(all, err)
		}
		entries, _, err := h.store.AuditEntries(h.ctx, store.AuditQuery{Action: "registry.*", N: 100})
		if err != nil || len(entries) != 4 {
			t.Error(entries, err)
		}
	})
}
