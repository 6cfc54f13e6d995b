package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice"
	jobqueue "github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/migrations"
	"github.com/hallmarkhub/hallmark/registry"
	blobmemory "github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

const goodPassword = "four words make sense"

// hub is one process without listeners.
type hub struct {
	t         testing.TB
	ctx       context.Context // of the hub itself
	db        *db.DB
	store     *store.Store
	dir       *store.Directory
	auth      *auth.Authenticator
	jobs      *jobservice.Runner
	reg       registry.Registry // not gated
	keeper    *gatekeeper.Keeper
	inventory *inventory.Inventory
	api       *API
	h         http.Handler
	log       *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startHub(t testing.TB, d *db.DB) *hub {
	t.Helper()
	ctx := core.WithPrincipal(context.Background(), core.System())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(migrations.Up(ctx, d))
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	must(err)
	h := &hub{t: t, ctx: ctx, db: d, store: store.New(d), log: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.dir = store.NewDirectory(h.store)
	h.auth, err = auth.New(ctx, auth.Options{Store: h.store, Directory: h.dir, Keyring: ring, Log: log,
		Hash: auth.HashParams{MemoryKiB: 64, Passes: 1, Lanes: 1}})
	must(err)
	loc, err := local.New(d, blobmemory.New(blobmemory.Options{}), local.Options{Record: ledger.Record})
	must(err)
	secret, err := trust.NewSecret()
	must(err)
	signer, err := trust.LoadSigner(secret)
	must(err)
	h.keeper = gatekeeper.New(loc, gatekeeper.Options{Store: h.store, Directory: h.dir, Host: "hub.test", Log: log,
		Attaching: &gatekeeper.Attaching{HubID: "the-hub", Signer: signer, Put: loc.Attach, Remove: loc.Detach}})
	h.inventory = inventory.New(h.store, h.dir, h.keeper, log, inventory.Limits{})
	h.jobs = jobservice.New(d, jobqueue.New(), jobservice.Options{Log: log})
	h.reg = access.Wrap(loc, h.dir)
	h.api, err = New(Options{Store: h.store, Directory: h.dir, Auth: h.auth, Jobs: h.jobs, Registry: h.reg, Gate: h.keeper, Upstream: upstream.NewEndpoints(h.store, ring), Inventory: h.inventory,
		Webhooks: webhook.New(webhook.Options{Store: h.store, Keyring: ring, Log: slog.New(slog.DiscardHandler)}), Unlink: loc.DeleteRepository,
		Scans: scan.New(scan.Options{Store: h.store, Keyring: ring, Registry: loc}), ScanJobs: h.scanJobs(),
		CursorKey: bytes.Repeat([]byte{9}, 32), Version: "1.2.3", Log: log})
	must(err)
	h.h = web.Origin(h.auth.Proxies(), h.api.Handler())
	return h
}

func sqliteHub(t testing.TB) *hub {
	t.Helper()
	return startHub(t, dbtest.SQLite(t)(t))
}

// cred is what a request carries.
type cred func(r *http.Request)

func anonymous(*http.Request) {}

func bearer(token string) cred {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func basic(user, password string) cred {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// operator is what the local socket does.
func operator(r *http.Request) { *r = *r.WithContext(core.WithPrincipal(r.Context(), core.Operator())) }

// user makes a user and returns its name and a personal token.
func (h *hub) user(name string, admin bool) cred {
	h.t.Helper()
	hash, err := h.auth.Passwords().Hash(h.ctx, goodPassword)
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := h.store.CreateAccount(h.ctx, store.NewAccount{Username: name, PasswordHash: hash, Admin: admin})
	if err != nil {
		h.t.Fatal(err)
	}
	return bearer(h.token(u.ID, "t", nil))
}

func (h *hub) token(accountID, name string, scopes []core.Grant) string {
	h.t.Helper()
	_, secret, err := h.store.CreatePersonalToken(h.ctx, accountID, name, scopes, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

func (h *hub) accountID(name string) string {
	h.t.Helper()
	u, err := h.store.AccountByUsername(h.ctx, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return u.ID
}

func (h *hub) project(name string, v core.Visibility, members map[string]core.Role) *core.Project {
	h.t.Helper()
	p, err := h.store.CreateProject(h.ctx, store.NewProject{Name: name, Visibility: v})
	if err != nil {
		h.t.Fatal(err)
	}
	for user, role := range members {
		if _, _, err := h.store.PutMember(h.ctx, p, user, role, 0); err != nil {
			h.t.Fatal(err)
		}
	}
	return p
}

// image pushes an image and returns its digest.
func (h *hub) image(repository string, content string, tags ...string) digest.Digest {
	h.t.Helper()
	created := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	config, err := json.Marshal(ocispec.Image{Created: &created, Platform: ocispec.Platform{OS: "linux", Architecture: "arm64"},
		Config:  ocispec.ImageConfig{Cmd: []string{"/" + content}},
		History: []ocispec.History{{CreatedBy: "COPY " + content, Created: &created}, {CreatedBy: "CMD", EmptyLayer: true}}})
	if err != nil {
		h.t.Fatal(err)
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: h.blob(repository, ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{h.blob(repository, ocispec.MediaTypeImageLayer, []byte("layer "+content))}}
	m.SchemaVersion = 2
	return h.manifest(repository, m.MediaType, m, tags...)
}

func (h *hub) blob(repository, mediaType string, b []byte) ocispec.Descriptor {
	h.t.Helper()
	d := digest.FromBytes(b)
	u, err := h.reg.StartUpload(h.ctx, repository, digest.SHA256)
	if err == nil {
		_, err = h.reg.FinishUpload(h.ctx, repository, u.ID, 0, bytes.NewReader(b), d)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func (h *hub) manifest(repository, mediaType string, m any, tags ...string) digest.Digest {
	h.t.Helper()
	payload, err := json.Marshal(m)
	if err != nil {
		h.t.Fatal(err)
	}
	d := digest.FromBytes(payload)
	if _, err := h.reg.PutManifest(h.ctx, repository, registry.ManifestPut{Digest: d, MediaType: mediaType, Payload: payload, Tags: tags}); err != nil {
		h.t.Fatal(err)
	}
	return d
}

// signature pushes something that refers to subject.
func (h *hub) signature(repository string, subject digest.Digest, content string, tags ...string) digest.Digest {
	h.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.signature",
		Config:  h.blob(repository, ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Layers:  []ocispec.Descriptor{h.blob(repository, "application/vnd.dsse.envelope.v1+json", []byte(content))},
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}}
	m.SchemaVersion = 2
	return h.manifest(repository, m.MediaType, m, tags...)
}

// reply is an answer.
type reply struct {
	t      testing.TB
	what   string
	Status int
	Header http.Header
	Body   []byte
}

// call makes a request. path is what follows /api/v1, or a whole path that begins with "/api" or "/t/", or is "/". options are pairs
// of header and value.
func (h *hub) call(who cred, method, path, body string, options ...string) *reply {
	h.t.Helper()
	if !strings.HasPrefix(path, "/api") && !strings.HasPrefix(path, "/t/") && path != "/" {
		path = "/api/v1" + path
	}
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://hub.test"+path, in)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	who(r)
	for i := 0; i+1 < len(options); i += 2 {
		r.Header.Set(options[i], options[i+1])
	}
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	return &reply{t: h.t, what: method + " " + path, Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}

// want fails unless the status is as wanted.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.Status != status {
		r.t.Fatalf("%s: status %d, want %d: %s", r.what, r.Status, status, r.Body)
	}
	return r
}

// into decodes the body.
func (r *reply) into(v any) *reply {
	r.t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		r.t.Fatalf("%s: %v: %s", r.what, err, r.Body)
	}
	return r
}

func (r *reply) problem() web.Problem {
	r.t.Helper()
	var p web.Problem
	r.into(&p)
	return p
}

// wantProblem fails unless the answer is a problem with this code that says something.
func (r *reply) wantProblem(status int, code core.ErrorCode) web.Problem {
	r.t.Helper()
	r.want(status)
	p := r.problem()
	if p.Code != code || p.Detail == "" || p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-Id") || p.Status != status {
		r.t.Fatalf("%s: %+v, want code %s", r.what, p, code)
	}
	return p
}

// next is the path of the next page, "" if there is none.
func (r *reply) next() string {
	link := r.Header.Get("Link")
	if link == "" {
		return ""
	}
	link, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok {
		r.t.Fatalf("%s: Link %q", r.what, link)
	}
	return strings.TrimPrefix(link, "<")
}

// job queues a job that nobody runs.
func (h *hub) job(kind string) string {
	h.t.Helper()
	var id string
	err := h.db.Write(h.ctx, func(tx *db.Tx) (err error) {
		id, err = h.jobs.Enqueue(tx, jobservice.Job{Kind: kind})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// schedule writes a schedule that makes jobs nobody runs.
func (h *hub) schedule(name, spec string) {
	h.t.Helper()
	err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO cron (name, kind, spec, payload, next_at) VALUES ($1, 'sweep-uploads', $2, '{}', $3)`, name, spec, tx.Now()+1)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// say writes a line into a job's log.
func (h *hub) say(job string, seq int64, line string) {
	h.t.Helper()
	err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(`INSERT INTO job_log (job_id, seq, at, attempt, line) VALUES ($1, $2, $3, 1, $4)`, job, seq, tx.Now(), line); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE job SET log_lines = $2 WHERE id = $1`, job, seq)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}
