package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api"
	"github.com/hallmarkhub/hallmark/core/api/client"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/registry"
)

// shell runs commands as somebody who sits in front of them.
type shell struct {
	t       *testing.T
	hub     *hub
	handler http.Handler
	address string
	env     map[string]string
}

func newShell(t *testing.T, environ ...string) *shell {
	t.Helper()
	h := startHub(t, environ...)
	a, err := api.New(api.Options{Store: h.store, Directory: h.dir, Auth: h.auth, Jobs: h.jobs, Registry: h.registry, Gate: h.keeper, Inventory: h.packages, Webhooks: h.webhooks,
		CursorKey: bytes.Repeat([]byte{1}, 32), Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, hub: h, handler: web.Origin(h.proxies, a.Handler()), env: map[string]string{"XDG_CONFIG_HOME": t.TempDir()}}
	srv := httptest.NewServer(s.handler)
	t.Cleanup(srv.Close)
	s.address = srv.URL
	return s
}

func (s *shell) getenv(name string) string { return s.env[name] }

// run runs a command line and returns what it printed.
func (s *shell) run(stdin string, line ...string) (out, errs string, err error) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	return s.runRoot(clientCommands(s.getenv, strings.NewReader(stdin), &stdout, &stderr), &stdout, &stderr, line)
}

// serverRun is run for the commands of the operator.
func (s *shell) serverRun(stdin string, line ...string) (out, errs string, err error) {
	s.t.Helper()
	operator := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handler.ServeHTTP(w, r.WithContext(core.WithPrincipal(r.Context(), core.Operator())))
	})
	connect := func(context.Context) (*client.Client, func(), error) { return client.Local(operator), func() {}, nil }
	var stdout, stderr bytes.Buffer
	return s.runRoot(serverCommands(connect, strings.NewReader(stdin), &stdout, &stderr), &stdout, &stderr, line)
}

func (s *shell) runRoot(commands []*cobra.Command, stdout, stderr *bytes.Buffer, line []string) (string, string, error) {
	root := &cobra.Command{Use: "hallmark", SilenceUsage: true, SilenceErrors: true}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(commands...)
	root.SetOut(stdout)
	root.SetErr(io.Discard)
	root.SetArgs(line)
	err := root.ExecuteContext(s.t.Context())
	return stdout.String(), stderr.String(), err
}

// must is run for what has to succeed.
func (s *shell) must(stdin string, line ...string) string {
	s.t.Helper()
	out, errs, err := s.run(stdin, line...)
	if err != nil {
		s.t.Fatalf("%v: %v\n%s%s", line, err, out, errs)
	}
	return out
}

// fails is run for what has to fail with a status and a sentence.
func (s *shell) fails(status int, sentence string, line ...string) {
	s.t.Helper()
	out, _, err := s.run("", line...)
	if exitCode(err) != status || !strings.Contains(err.Error(), sentence) {
		s.t.Errorf("%v: status %d: %v, want %d and %q\n%s", line, exitCode(err), err, status, sentence, out)
	}
}

func (s *shell) login() {
	s.t.Helper()
	s.must(password+"\n", "login", s.address, "-u", "admin", "--password-stdin")
}

func TestClientLogin(t *testing.T) {
	s := newShell(t)
	s.fails(1, "hallmark login ADDRESS", "get", "projects")
	s.fails(1, "User name or password is wrong", "login", s.address, "-u", "admin", "-p", "wrong")
	s.login()
	file := filepath.Join(s.env["XDG_CONFIG_HOME"], "hallmark", "config.yaml")
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	raw, _ := os.ReadFile(file)
	if strings.Contains(string(raw), password) || !strings.Contains(string(raw), "hmp_") {
		t.Errorf("%s", raw)
	}
	s.login() // again: the token of the first time goes
	if out := s.must("", "get", "tokens"); strings.Count(out, "hallmark login") != 1 {
		t.Error(out)
	}
	var c clientConfig
	raw, _ = os.ReadFile(file)
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	token := c.Hubs[0].Token
	s.must("", "logout")
	s.fails(2, "not logged in", "logout")
	s.env["HALLMARK_SERVER"], s.env["HALLMARK_TOKEN"] = s.address, token
	s.fails(1, "not valid", "get", "tokens") // revoked
	delete(s.env, "HALLMARK_TOKEN")
	s.must("", "get", "projects") // public ones, without logging in
	s.fails(1, "hallmark login", "get", "users")
	s.fails(1, "cannot be reached", "get", "projects", "--server", "127.0.0.1:1")
	s.fails(2, "not the address", "get", "projects", "--server", "http://x/y")
}

func TestClientUsage(t *testing.T) {
	s := newShell(t)
	s.login()
	s.fails(2, "there is no kind", "get", "cats")
	s.fails(2, "-o is table", "get", "users", "-o", "xml")
	s.fails(2, "--help", "get")
	s.fails(2, "unknown flag", "get", "users", "--nope")
	s.fails(2, "project", "get", "members")
	s.fails(2, "which project", "delete", "robot", "ci")
	s.fails(2, "cannot be deleted", "delete", "job", "x")
	s.fails(2, "repository", "get", "tags", "team")
	s.fails(2, "by its digest", "delete", "artifact", "team/app:1")
	s.fails(2, "PATTERN=ACTION", "create", "robot", "ci", "--project", "team", "--allow", "pull")
	s.fails(2, "no duration", "create", "token", "x", "--expires", "soon")
	s.fails(1, "there are limit, cursor, q", "get", "users", "--filter", "nme=x")
	s.fails(1, "There is no such thing", "get", "project", "../users/x")
}

func TestClientNouns(t *testing.T) {
	s := newShell(t)
	s.login()
	if out := s.must(password+"\n", "create", "user", "bob", "--email", "b@example.org"); out != "user/bob created\n" {
		t.Error(out)
	}
	s.must("", "create", "project", "team", "--description", "ours")
	s.must("", "create", "member", "bob", "--project", "team", "--role", "developer")
	s.must("", "create", "label", "team/checked", "--color", "#123456")
	secret := strings.Fields(s.must("", "create", "robot", "team/ci", "--allow", "**=pull,push", "--expires", "30d"))
	if len(secret) != 2 || secret[0] != "robot$team+ci" || !strings.HasPrefix(secret[1], "hmr_") {
		t.Fatal(secret)
	}
	if token := s.must("", "create", "token", "laptop", "--scope", "team/**=pull"); !strings.HasPrefix(token, "hmp_") {
		t.Error(token)
	}
	for _, want := range [][2]string{{"get projects", "team"}, {"get members --project team", "bob"}, {"get member team/bob", "developer"},
		{"get labels --project team", "checked"}, {"get robots --project team", "robot$team+ci"}, {"get robot team/ci", "robot$team+ci"},
		{"get robot robot$team+ci", "robot$team+ci"}, {"get tokens", "laptop"}, {"get users --limit 1", "admin"}, {"get jobs", "KIND"},
		{"get audit --filter action=project.*", "project.create"}, {"get audit --project team --limit 2", "robot.create"}, {"get repositories --project team", "FULL NAME"},
		{"get token laptop -o yaml", "repository: team/**"}, {"get user bob -o yaml", "email: b@example.org"}, {"get repositories team", "FULL NAME"}} {
		if out := s.must("", strings.Fields(want[0])...); !strings.Contains(out, want[1]) {
			t.Errorf("%s: %s", want[0], out)
		}
	}
	var users []struct{ Username string }
	if err := json.Unmarshal([]byte(s.must("", "get", "users", "-o", "json")), &users); err != nil || len(users) != 2 {
		t.Errorf("%v %v", users, err)
	}
	if _, _, err := s.run("", "get", "user", "nobody"); client.Code(err) != "not_found" || exitCode(err) != 1 {
		t.Error(err)
	}
	s.fails(2, "is for deleting a user", "delete", "member", "team/bob", "--leave-ownerless")
	s.must(password+"\n", "create", "user", "carol")
	s.must("", "create", "project", "carols")
	s.must("", "create", "member", "carol", "--project", "carols", "--role", "owner")
	s.must("", "delete", "member", "carols/admin")
	s.fails(1, "leave_ownerless", "delete", "user", "carol")
	for _, line := range []string{"delete user carol --leave-ownerless",
		"delete robot team/ci", "delete label team/checked", "delete member team/bob", "delete token laptop", "delete project team", "delete user bob"} {
		if out := s.must("", strings.Fields(line)...); !strings.HasSuffix(out, " deleted\n") {
			t.Error(out)
		}
	}
}

func TestClientApply(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must(password+"\n", "create", "user", "bob")
	const file = `
kind: Project
metadata: {name: team}
spec: {visibility: private, description: ours}
---
---
kind: Member
metadata: {name: bob, project: team}
spec: {role: developer}
---
kind: Label
metadata: {name: checked, project: team}
spec: {color: "#123456"}
---
kind: Robot
metadata: {name: ci, project: team}
spec:
  permissions: [{repository: "**", actions: [pull]}]
  expires_in: 3600
`
	out := s.must(file, "apply", "-f", "-")
	for _, want := range []string{"project/team created", "member/team/bob created", "label/team/checked created", "robot/team/ci created", "secret: hmr_"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in %s", want, out)
		}
	}
	if out := s.must(file, "apply", "-f", "-"); strings.Count(out, "unchanged\n") != 4 || strings.Contains(out, "hmr_") {
		t.Error(out)
	}
	changed := strings.NewReplacer("ours", "theirs", "developer", "guest", "[pull]", "[pull, push]", "#123456", "#654321").Replace(file)
	if out := s.must(changed, "apply", "-f", "-"); strings.Count(out, "updated\n") != 4 {
		t.Error(out)
	}
	if out := s.must(changed, "apply", "-f", "-"); strings.Count(out, "unchanged\n") != 4 {
		t.Error(out)
	}
	for bad, sentence := range map[string]string{
		"kind: Cat\nmetadata: {name: x}":                                            "there is no kind",
		"kind: User\nmetadata: {name: x}":                                           "cannot be applied",
		"kind: Member\nmetadata: {name: x}":                                         "metadata.project is missing",
		"kind: Project\nmetadata: {}":                                               "metadata.name is missing",
		"kind: Project\nmeta: {name: x}":                                            "meta not found",
		"kind: Project\nmetadata: {name: team}\nspec: [1]":                          "must be a mapping",
		"kind: Project\nmetadata: {name: new}\n---\nkind: Cat\nmetadata: {name: x}": "line 4",
		"{": "yaml",
	} {
		if _, _, err := s.run(bad, "apply", "-f", "-"); exitCode(err) != 2 || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := s.run("kind: Project\nmetadata: {name: team}\nspec: {colour: red}", "apply", "-f", "-"); exitCode(err) != 1 || !strings.Contains(err.Error(), `"colour" is no field`) {
		t.Error(err)
	}
	s.fails(1, "", "get", "project", "new") // nothing of a file that is wrong was done
}

func TestClientContent(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "dev")
	s.must("", "create", "project", "prod")
	ctx := core.WithPrincipal(t.Context(), core.System())
	u, err := s.hub.registry.StartUpload(ctx, "dev/deep/app", digest.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	empty := ocispec.DescriptorEmptyJSON
	if _, err := s.hub.registry.FinishUpload(ctx, "dev/deep/app", u.ID, 0, strings.NewReader("{}"), empty.Digest); err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example", Config: empty, Layers: []ocispec.Descriptor{empty}})
	m, err := s.hub.registry.PutManifest(ctx, "dev/deep/app", registry.ManifestPut{Digest: digest.FromBytes(payload),
		MediaType: ocispec.MediaTypeImageManifest, Payload: payload, Tags: []string{"1.0"}})
	if err != nil {
		t.Fatal(err)
	}
	if out := s.must("", "promote", "dev/deep/app:1.0", "prod/app"); out != "dev/deep/app:1.0 is prod/app@"+string(m.Digest)+"\n" {
		t.Error(out)
	}
	s.must("", "create", "tag", "prod/app:stable", "--digest", string(m.Digest))
	for _, want := range [][2]string{{"get repositories --project dev", "dev/deep/app"}, {"get repository dev/deep/app", "dev/deep/app"},
		{"get tags prod/app", "stable"}, {"get tag prod/app:1.0", string(m.Digest)}, {"get artifacts prod/app", "1.0,stable"},
		{"get artifact prod/app@" + string(m.Digest), "1.0,stable"}, {"delete tag prod/app:stable", "deleted"},
		{"delete artifact prod/app@" + string(m.Digest), "deleted"}} {
		if out := s.must("", strings.Fields(want[0])...); !strings.Contains(out, want[1]) {
			t.Errorf("%s: %s", want[0], out)
		}
	}
	s.fails(1, "There is no", "get", "tag", "prod/app:1.0")
	s.fails(1, "or you may not pull it", "promote", "dev/none:1", "prod/app")
	s.fails(2, "promote PROJECT", "promote", "dev/app", "prod/app")
}

func TestClientPasswd(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must(password+"\nother four words here\n", "passwd")
	s.fails(1, "wrong", "login", s.address, "-u", "admin", "-p", password)
	s.must("", "login", s.address, "-u", "admin", "-p", "other four words here")
}

func TestClientCompletion(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	for line, want := range map[string]string{"__complete get ": "projects", "__complete get projects ": "team", "__complete get members --project te": "team",
		"__complete get members ": "team/", "__complete delete member team/": "team/admin", "__complete get users -o ": "yaml"} {
		parts := strings.Split(line, " ")
		if out := s.must("", parts...); !strings.Contains(out, want) {
			t.Errorf("%q: %s", line, out)
		}
	}
}

func TestServerCommands(t *testing.T) {
	s := newShell(t)
	for _, step := range []struct{ stdin, line, want string }{
		{password + "\n", "user add carol --admin", "user/carol created"},
		{"", "user list", "carol"},
		{"other four words here\n", "user passwd carol", "user/carol has a new password"},
		{"", "keys rotate", "signed with a new key"},
	} {
		out, errs, err := s.serverRun(step.stdin, strings.Fields(step.line)...)
		if err != nil || !strings.Contains(out, step.want) {
			t.Errorf("%s: %v %s%s", step.line, err, out, errs)
		}
	}
	s.must("", "login", s.address, "-u", "carol", "-p", "other four words here")
	if out := s.must("", "get", "audit", "--filter", "action=user.create", "--filter", "actor=local operator"); !strings.Contains(out, "carol") {
		t.Error(out)
	}
}

func TestSocketClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hallmark.sock")
	if _, err := socketClient(t.Context(), path); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "no hub is running") {
		t.Error(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[]`) })}
	go srv.Serve(l)
	cl, err := socketClient(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := cl.Call(t.Context(), "GET", "/users", nil, ""); err != nil || string(a.Body) != "[]" {
		t.Error(a, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	srv.Close()
	if _, err := socketClient(t.Context(), path); !errors.Is(err, syscall.ECONNREFUSED) { // left behind
		t.Error(err)
	}
}

// What others have written does not steer the terminal.
func TestClientPrintsNoEscapes(t *testing.T) {
	for in, want := range map[string]string{"a\x1b[31mb": "a?[31mb", "a\r\nb": "a??b", "a\u202eb": "a?b", "已审核": "已审核", "\u200b": "?"} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := cell("size", json.RawMessage("170000000")); got != "170.0 MB" {
		t.Error(got)
	}
}
