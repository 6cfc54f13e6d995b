package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/disk"
	"github.com/hallmarkhub/hallmark/registry/blob/driver"
	"github.com/hallmarkhub/hallmark/registry/local"
	"github.com/hallmarkhub/hallmark/registry/request"
	"github.com/hallmarkhub/hallmark/registry/server"
)

// wireHandlers makes what the listeners serve.
func (h *hub) wireHandlers(ctx context.Context, o *opened, loc *local.Registry) error {
	v2 := web.Origin(h.proxies, server.New(h.registry, server.Options{
		Authenticate: h.authenticateV2, Ping: pingV2, Realm: h.proxies.Realm, ServiceName: h.auth.Service(),
		Limits: server.Limits{
			Request:  request.Limits{Page: o.cfg.Int("limits.page_default"), MaxPage: o.cfg.Int("limits.page_max")},
			Manifest: o.cfg.Bytes("limits.manifest_bytes"), Blob: o.cfg.Bytes("limits.blob_bytes"),
			MinRate: o.cfg.Bytes("limits.min_rate_bytes"),
		},
		Translate: registryError, RequestID: requestID, Logger: o.log, OnPull: h.pulls.Count, OnResponse: h.accessLogV2(),
	}))
	fresh := make([]byte, 32)
	rand.Read(fresh)
	keys, err := h.store.EnsureSecret(core.WithPrincipal(ctx, core.System()), h.keyring, "cursor", fresh)
	if err != nil {
		return err
	}
	rest, err := h.rest(loc, keys[len(keys)-1].Value)
	if err != nil {
		return err
	}
	token := h.tokenService()
	// The paths under /v2 are judged as they were sent: no mux that cleans them may stand in front.
	h.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case strings.HasPrefix(p, "/v2/"), p == "/v2":
			v2.ServeHTTP(w, r)
		case p == "/service/token":
			token.ServeHTTP(w, r)
		default:
			rest.ServeHTTP(w, r)
		}
	})
	h.internal = h.internalHandler()
	return nil
}

// requestID is the id that web.Origin gave a request.
func requestID(ctx context.Context) string { return core.OriginFrom(ctx).RequestID }

// tokenService serves docker login and all tokens.
func (h *hub) tokenService() http.Handler {
	e := web.Errors{Log: h.log}
	return h.outside(web.BoundHeaders(e, web.Recover(e, web.Timeout(answerTime, h.auth.TokenService(web.NotePrincipal)))))
}

// answerTime is how long a request of the token service may take, and how long a client outside /v2 may take to fetch its
// answer.
const answerTime = 30 * time.Second

// outside is around everything but /v2, which does the same in its own way.
func (h *hub) outside(next http.Handler) http.Handler {
	if h.cfg.String("access_log") != "none" {
		next = web.AccessLog(h.access, next)
	}
	return web.WriteWithin(answerTime, web.Origin(h.proxies, next))
}

// authenticateV2 finds out who asks under /v2. The local socket and the door of our own scanner have said so already.
func (h *hub) authenticateV2(_ http.ResponseWriter, r *http.Request) (context.Context, error) {
	ctx := r.Context()
	if p := core.PrincipalFrom(ctx); p.Kind == core.KindOperator || p.Kind == core.KindSystem {
		return ctx, nil
	}
	p, err := h.auth.Registry(r)
	if err != nil {
		return ctx, registryError(err)
	}
	return core.WithPrincipal(ctx, p), nil
}

// registryError tells errors of the domain in the words of the registry API.
func registryError(err error) error {
	var e *core.Error
	if !errors.As(err, &e) {
		switch {
		case errors.Is(err, db.ErrUnavailable):
			return &registry.Error{Code: registry.CodeUnavailable, RetryAfter: 5 * time.Second, Message: "the database does not answer: try again in a moment."}
		case errors.Is(err, db.ErrFull):
			return registry.NewError(registry.CodeNoSpace, "the hub's database has no space left. What was stored before is safe; tell its operator.")
		}
		return err
	}
	return &registry.Error{Code: auth.RegistryCode(e.Code), Message: e.Message, RetryAfter: e.RetryAfter}
}

// pingV2 is what docker login asks: is anybody logged in?
func pingV2(ctx context.Context) error {
	if core.PrincipalFrom(ctx).Kind == core.KindAnonymous {
		return registry.NewError(registry.CodeUnauthorized, "log in first, with: docker login")
	}
	return nil
}

// internalHandler serves operators.
func (h *hub) internalHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/livez", livez)
	mux.HandleFunc("/readyz", h.readyz)
	mux.Handle("/metrics", h.metrics())
	return mux
}

// metrics serves what is measured: each room that measures something has a collector, which is named here.
func (h *hub) metrics() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), h.jobs.Collector(),
		h.scans.Collector(), h.newerData, h.webhooks.Collector())
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
}

func livez(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz says whether the hub can serve, and with ?verbose what each part says.
func (h *hub) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status := http.StatusOK
	var text strings.Builder
	for _, p := range h.parts(ctx) {
		said := "ok"
		switch {
		case p.note != "":
			said = p.note
		case p.err == nil:
		case p.spare:
			said = "not ok, and the hub serves without it"
			h.log.Warn("degraded", "part", p.name, "error", p.err)
		default:
			status, said = http.StatusServiceUnavailable, "not ok"
			h.log.Warn("not ready", "part", p.name, "error", p.err)
		}
		fmt.Fprintf(&text, "%s: %s\n", p.name, said)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.URL.Query().Has("verbose") {
		fmt.Fprint(w, text.String())
		return
	}
	fmt.Fprintln(w, map[bool]string{true: "ok", false: "not ready"}[status == http.StatusOK])
}

// part is something that can be down by itself.
type part struct {
	name  string
	err   error
	spare bool   // pulls and pushes go on without it
	note  string // instead of ok and not ok, for everybody
}

func (h *hub) parts(ctx context.Context) []part {
	list := []part{{name: "accepting requests", err: h.accepting()}, {name: "database", err: h.db.Ping(ctx)}, {name: "blob store", err: h.blobsHealthy(ctx)}}
	if h.redis != nil {
		list = append(list, part{name: "job queue", err: h.redis.Check(ctx), spare: true})
	}
	return append(list, h.scanner.part(ctx))
}

func (h *hub) accepting() error {
	if !h.ready.Load() {
		return errors.New("the hub is starting or ending")
	}
	return nil
}

// blobsAsked is how long the answer of an object store counts: asking is a request to it, and anybody may ask us.
const blobsAsked = 5 * time.Second

// blobsHealthy asks the blob store whether it is well.
func (h *hub) blobsHealthy(ctx context.Context) error {
	switch s := h.blobs.(type) {
	case *disk.Store:
		return s.Healthy()
	case *driver.Store:
		h.blobsHealth.Lock()
		defer h.blobsHealth.Unlock()
		if time.Since(h.blobsHealth.at) > blobsAsked {
			ctx, cancel := context.WithTimeout(ctx, blobsAsked)
			defer cancel()
			h.blobsHealth.err = s.Check(ctx)
			h.blobsHealth.at = time.Now()
		}
		return h.blobsHealth.err
	}
	return nil
}

// rest serves everything outside /v2 and the token service.
func (h *hub) rest(loc *local.Registry, cursorKey []byte) (http.Handler, error) {
	a, err := api.New(api.Options{
		Store: h.store, Directory: h.dir, Auth: h.auth, Jobs: h.jobs, Registry: h.registry, Gate: h.keeper, Upstream: h.endpoints, Inventory: h.packages, Webhooks: h.webhooks, Unlink: loc.DeleteRepository,
		Scans: h.scans, ScanJobs: api.ScanJobs{Image: h.scanImage, Images: h.scanImages},
		Health: h.health, Baseline: core.Baseline(h.cfg.String("baseline")), CursorKey: cursorKey, PublicURL: h.cfg.String("public_url"), Version: version(), Log: h.log,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", h.readyz)
	rest, health := h.outside(a.Handler()), web.WriteWithin(answerTime, mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
			health.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	}), nil
}

// health is what the API tells administrators of the parts of the hub.
func (h *hub) health(ctx context.Context) []api.Part {
	var out []api.Part
	for _, p := range h.parts(ctx) {
		part := api.Part{Name: p.name, Status: "ok", Message: p.note}
		if p.err != nil {
			if part.Status = "down"; part.Message == "" {
				part.Message = "see the log"
			}
			if p.spare {
				part.Status = "degraded"
			}
			h.log.Warn("not ready", "part", p.name, "error", p.err)
		}
		out = append(out, part)
	}
	return out
}

// accessLogV2 is the access log of the registry API, or nil: then it costs nothing.
func (h *hub) accessLogV2() func(server.Response) {
	mode := h.cfg.String("access_log")
	if mode == "none" {
		return nil
	}
	return func(r server.Response) {
		read := r.Request.Method == http.MethodGet || r.Request.Method == http.MethodHead
		who := core.PrincipalFrom(r.Context)
		// Our own scanner asks for its databases again and again, also while there are none.
		if mode == "writes" && read && (r.Status < 400 || who.Kind == core.KindSystem) {
			return
		}
		h.access.LogAttrs(r.Context, slog.LevelInfo, "request", slog.String("method", r.Request.Method),
			slog.String("path", r.Request.URL.EscapedPath()), slog.Int("status", r.Status), slog.Int64("bytes", r.Bytes),
			slog.Int64("micros", r.Duration.Microseconds()), slog.String("ip", core.OriginFrom(r.Context).IP),
			slog.String("request_id", requestID(r.Context)), slog.String("who", who.Name))
	}
}
