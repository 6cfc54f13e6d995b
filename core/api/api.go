package api

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/api/pages"
	"github.com/hallmarkhub/hallmark/core/api/spec"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/registry"
)

//go:embed openapi.yaml
var specText []byte

// DefaultTimeout is how long a request may take, streams excepted.
const DefaultTimeout = 30 * time.Second

// Options of New.
type Options struct {
	Store     *store.Store
	Directory *store.Directory
	Auth      *auth.Authenticator
	Jobs      *jobservice.Runner
	Registry  registry.Registry // wrapped by access
	Gate      *gatekeeper.Keeper
	Upstream  *upstream.Endpoints
	Inventory *inventory.Inventory
	Scans     *scan.Service
	ScanJobs  ScanJobs
	Webhooks  *webhook.Sender
	// Unlink removes what a repository holds in the transaction that removes it (registry/local: DeleteRepository).
	Unlink func(tx *db.Tx, repository string) error
	// Health tells how the parts of the hub are; nil: only the database is asked.
	Health func(ctx context.Context) []Part

	Baseline        core.Baseline // of projects that name none; "" is enforce
	CursorKey       []byte        // 32 bytes, the same on every replica
	PublicURL       string        // HALLMARK_PUBLIC_URL, or ""
	Version, Commit string
	Timeout         time.Duration // 0: DefaultTimeout
	Log             *slog.Logger  // nil: nothing is logged
}

// API answers everything but /v2 and the token service. It is safe for concurrent use.
type API struct {
	store       *store.Store
	directory   *store.Directory
	auth        *auth.Authenticator
	jobs        *jobservice.Runner
	registry    registry.Registry
	gate        *gatekeeper.Keeper
	upstream    *upstream.Endpoints
	inventory   *inventory.Inventory
	scans       *scan.Service
	scanJobs    ScanJobs
	webhooks    *webhook.Sender
	unlink      func(tx *db.Tx, repository string) error
	health      func(ctx context.Context) []Part
	proxies     *auth.Proxies
	cursors     web.Cursors
	crossOrigin web.CrossOrigin
	errors      web.Errors
	rules       map[string]rule
	spec        *spec.Document
	docs        *pages.Docs
	home        *pages.Home
	verdicts    *pages.Verdicts
	baseline    core.Baseline
	version     string
	commit      string
	timeout     time.Duration
	streams     streams
}

// New makes an API.
func New(opt Options) (*API, error) {
	a := &API{store: opt.Store, directory: opt.Directory, auth: opt.Auth, jobs: opt.Jobs, registry: opt.Registry, gate: opt.Gate, upstream: opt.Upstream, inventory: opt.Inventory, webhooks: opt.Webhooks, scans: opt.Scans, scanJobs: opt.ScanJobs, unlink: opt.Unlink,
		health: opt.Health, proxies: opt.Auth.Proxies(), cursors: web.NewCursors(opt.CursorKey), rules: rules(),
		baseline: opt.Baseline, version: opt.Version, commit: opt.Commit, timeout: opt.Timeout,
		errors: web.Errors{Log: opt.Log, Challenge: `Bearer realm="Hallmark API"`}}
	if a.timeout == 0 {
		a.timeout = DefaultTimeout
	}
	if a.health == nil {
		a.health = a.databaseHealth
	}
	if len(opt.CursorKey) < 32 {
		return nil, errors.New("the key of cursors needs 32 bytes")
	}
	var err error
	if a.spec, err = spec.Parse(specText); err != nil {
		return nil, err
	}
	if a.crossOrigin, err = web.NewCrossOrigin(opt.PublicURL); err != nil {
		return nil, err
	}
	if a.docs, err = pages.NewDocs(a.spec, func(id string) string { return whoMay(a.rules[id]) }, a.proxies); err != nil {
		return nil, err
	}
	if a.home, err = pages.NewHome(a.proxies); err != nil {
		return nil, err
	}
	a.verdicts, err = pages.NewVerdicts()
	return a, err
}

// Handler serves /api, the first page and those of verdicts. web.Origin and web.AccessLog stand before it. A request whose context says that it
// came over the local socket is the operator's, whatever credentials it has; else its credentials say whose it is.
func (a *API) Handler() http.Handler {
	return a.handler(func(r *http.Request) (*core.Principal, error) {
		if p := core.PrincipalFrom(r.Context()); p.Kind == core.KindOperator {
			return p, nil
		}
		return a.auth.API(r)
	})
}

func (a *API) handler(who identify) http.Handler {
	r := chi.NewRouter()
	r.Use(asWritten)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		a.errors.Write(w, r, core.Errorf(core.CodeNotFound, "there is nothing at this address; /api/docs has all that there is"))
	})
	r.MethodNotAllowed(a.methodNotAllowed)
	r.Get("/", a.home.ServeHTTP)
	r.With(a.deadline).Get("/t/*", a.verdictPage(who))
	r.Get("/api", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/api/docs", http.StatusFound) })
	r.Get("/api/docs", a.docs.ServeHTTP)
	r.Get(a.spec.Base+"/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(specText)
	})
	strict := NewStrictHandlerWithOptions(a, nil, StrictHTTPServerOptions{RequestErrorHandlerFunc: a.malformed, ResponseErrorHandlerFunc: a.errors.Write})
	HandlerWithOptions(strict, ChiServerOptions{BaseURL: a.spec.Base, BaseRouter: r.With(a.deadline, a.guard(who)), ErrorHandlerFunc: a.malformed})
	return web.Headers(a.proxies, web.Bounds(a.errors, web.Recover(a.errors, r)))
}

// asWritten makes the router look at the path as the client wrote it: a repository's name holds encoded slashes, and nothing
// is decoded twice. HEAD is GET without its body.
func asWritten(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := *r.URL
		u.RawPath = r.URL.EscapedPath()
		second := *r
		second.URL = &u
		if r.Method == http.MethodHead {
			chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		}
		next.ServeHTTP(w, &second)
	})
}

// deadline bounds all requests but streams.
func (a *API) deadline(next http.Handler) http.Handler {
	timed := web.Timeout(a.timeout, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(chi.RouteContext(r.Context()).RoutePattern(), "/events") {
			next.ServeHTTP(w, r)
			return
		}
		timed.ServeHTTP(w, r)
	})
}

// malformed answers what the generated code could not read although guard had let it through.
func (a *API) malformed(w http.ResponseWriter, r *http.Request, err error) {
	a.errors.Write(w, r, core.Errorf(core.CodeInvalid, "this request could not be read: compare it with /api/docs"))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	path := r.URL.EscapedPath()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if chi.RouteContext(r.Context()).Routes.Match(chi.NewRouteContext(), method, path) {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	a.errors.Write(w, r, core.Errorf(core.CodeNotAllowed, "this address knows only %s", strings.Join(allowed, ", ")))
}

// location is the path of a resource.
func (a *API) location(parts ...string) string {
	var b strings.Builder
	b.WriteString(a.spec.Base)
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// mustBeFresh asks for the password again unless it was given within the last minutes.
func (a *API) mustBeFresh(r *http.Request) error {
	ok, err := a.auth.Verified(r.Context(), core.PrincipalFrom(r.Context()))
	if err == nil && !ok {
		err = core.Errorf(core.CodeReauthenticate, "give your password again (PUT /api/v1/sessions/current/verification): this needs one from the last five minutes")
	}
	return err
}

// sessionID is the id of the session that a principal came with.
func sessionID(p *core.Principal) string { return strings.TrimPrefix(p.Credential, "session:") }

// stillMay says whether who follows a stream still may: credential, account and rights as they are now.
func (a *API) stillMay(ctx context.Context) error {
	c := callOf(ctx)
	p, err := c.who(c.request)
	if err != nil {
		return err
	}
	st, err := a.directory.LiveStanding(ctx, p, "")
	if err != nil {
		return err
	}
	rule := a.rules[c.op.ID]
	if !access.Stands(p, rule.action, "", st) {
		return a.refuse(p, rule, false)
	}
	return nil
}

func (a *API) databaseHealth(ctx context.Context) []Part {
	if err := a.store.DB().Ping(ctx); err != nil {
		return []Part{{Name: "database", Status: "down", Message: "it does not answer"}}
	}
	return []Part{{Name: "database", Status: "ok"}}
}
