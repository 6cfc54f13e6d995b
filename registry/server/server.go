package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/request"
)

// Options are what a server needs to know besides the registry. The zero value serves everybody with the default limits.
// All functions are called concurrently.
type Options struct {
	// Authenticate is called first for each request and finds out who is asking; what it puts into the context is for
	// the Registry, which decides on rights. It may set headers of the response; the context must not be nil. Its error
	// is the response:
	// CodeUnauthorized for credentials that are wrong (none at all are no error), CodeTooManyRequests and so on.
	Authenticate func(w http.ResponseWriter, r *http.Request) (context.Context, error)
	// Ping is asked at /v2/, whose answer to docker login must be CodeUnauthorized as long as nobody is logged in.
	// nil lets everybody in.
	Ping func(ctx context.Context) error
	// Realm is the URL of the token service for the challenge that goes with CodeUnauthorized; if it is nil, the
	// challenge is for Basic.
	Realm func(r *http.Request) string
	// ServiceName is the service of the challenge.
	ServiceName string
	// Limits bounds what a request may cost.
	Limits Limits
	// Translate, if set, may turn an error that is no *registry.Error into one: what a database says, for example.
	Translate func(error) error
	// RequestID, if set, is the id that a request has already; nil: an internal error makes one.
	RequestID func(ctx context.Context) string
	// Logger gets one record for each error that is not a *registry.Error. nil discards them.
	Logger *slog.Logger
	// OnPull, if set, is called after a manifest was sent to a client that asked for it by GET.
	OnPull func(ctx context.Context, repo string, ref registry.Reference, m *registry.Manifest)
	// OnResponse, if set, is called after each response. nil costs nothing.
	OnResponse func(Response)
}

// Response is what an access log may want to know.
type Response struct {
	Request   *http.Request
	Context   context.Context // what Authenticate made
	Kind      request.Kind    // 0 if the request was refused before it was understood
	Status    int
	Bytes     int64 // of the body, as far as it was handed to the network
	Duration  time.Duration
	Err       error  // what the response says, or nil
	RequestID string // of internal errors, the one that the client was told; otherwise ""
}

// Limits bounds what a request may cost. A field that is 0 or less has the value of DefaultLimits.
type Limits struct {
	Request       request.Limits
	Manifest      int64         // bytes of a manifest
	Blob          int64         // bytes of a blob
	Ranges        int           // ranges in one request; more are answered with the whole
	ReferrerBytes int           // bytes of a page of referrers, unless it has but one entry
	URL           int           // bytes of the address of a request
	Headers       int           // lines of its head; their bytes are the http.Server's to bound
	MinRate       int64         // bytes per second that a client has to send or take of a body ...
	RateWindow    time.Duration // ... averaged over this time; a small response has to be taken within it
}

// DefaultLimits are the limits of a hub that does not set its own. "Pushing Manifests" in the OCI distribution
// specification wants manifests of 4 MB accepted.
func DefaultLimits() Limits {
	return Limits{
		Request: request.DefaultLimits(), Manifest: 4 << 20, Blob: 20 << 30, Ranges: 16, ReferrerBytes: 4 << 20,
		URL: 8 << 10, Headers: 100, MinRate: 4 << 10, RateWindow: time.Minute,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	l.Manifest = orDefault(l.Manifest, d.Manifest)
	l.Blob = orDefault(l.Blob, d.Blob)
	l.Ranges = orDefault(l.Ranges, d.Ranges)
	l.ReferrerBytes = orDefault(l.ReferrerBytes, d.ReferrerBytes)
	l.URL = orDefault(l.URL, d.URL)
	l.Headers = orDefault(l.Headers, d.Headers)
	l.MinRate = orDefault(l.MinRate, d.MinRate)
	l.RateWindow = orDefault(l.RateWindow, d.RateWindow)
	return l
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

type server struct {
	reg     registry.Registry
	opt     Options
	lim     Limits
	buffers sync.Pool // of *[]byte: the JSON of lists
	copies  sync.Pool // of *[copySize]byte: for connections without sendfile
}

// New returns the handler of /v2. It must get every path under /v2 as it was sent: an http.ServeMux in front, which
// redirects to a cleaned path, would answer for paths that do not exist.
//
// It needs no ReadTimeout and no WriteTimeout of the http.Server, and goes on where there are some: it sets deadlines
// itself, and extends them as long as the client keeps the minimum rate.
func New(reg registry.Registry, opt Options) http.Handler {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &server{
		reg: reg, opt: opt, lim: opt.Limits.orDefault(),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		copies:  sync.Pool{New: func() any { return new([copySize]byte) }},
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{s: s, w: w, r: r, ctx: r.Context()}
	if s.opt.OnResponse != nil {
		s.observe(&c)
		return
	}
	_ = c.answer() // the client has been told
}

// call is one request. It lives on the stack: no method may keep a pointer to it.
type call struct {
	s   *server
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context
	q   request.Request
	id  string // of the request, made when an error needs it
}

// answer answers the request. The error is what the response says.
func (c *call) answer() error {
	err := c.bounds()
	if err == nil {
		err = c.do()
	}
	if err != nil {
		c.fail(err)
	}
	c.send()
	return err
}

// bounds refuses a request whose address is longer, or that has more headers, than anybody needs.
func (c *call) bounds() error {
	if len(c.r.RequestURI) > c.s.lim.URL {
		return &statusError{http.StatusRequestURITooLong, registry.NewError(registry.CodeTooLarge,
			fmt.Sprintf("An address may have %d bytes at most.", c.s.lim.URL))}
	}
	n := 0
	for _, lines := range c.r.Header {
		n += len(lines)
	}
	if n > c.s.lim.Headers {
		return &statusError{http.StatusRequestHeaderFieldsTooLarge, registry.NewError(registry.CodeTooLarge,
			fmt.Sprintf("A request may have %d headers at most.", c.s.lim.Headers))}
	}
	return nil
}

// do answers the request, or returns the error that is to be the answer. Nothing of the response is written then.
func (c *call) do() error {
	if c.s.opt.Authenticate != nil {
		ctx, err := c.s.opt.Authenticate(c.w, c.r)
		if err != nil {
			return c.withScope(err)
		}
		c.ctx = ctx
	}
	q, err := request.Parse(c.r.Method, c.r.URL, c.s.lim.Request)
	c.q = q
	if err != nil {
		return err
	}
	return c.dispatch()
}

func (c *call) dispatch() error {
	switch c.q.Kind {
	case request.Ping:
		return c.ping()
	case request.Catalog:
		return c.catalog()
	case request.TagList:
		return c.tags()
	case request.ManifestGet:
		return c.getManifest()
	case request.ManifestPut:
		return c.putManifest()
	case request.ManifestDelete:
		return c.deleteManifest()
	case request.BlobGet:
		if c.r.Method == http.MethodHead {
			return c.headBlob()
		}
		return c.getBlob()
	case request.BlobDelete:
		return c.deleteBlob()
	case request.UploadStart:
		return c.startUpload(c.q.Algorithm)
	case request.UploadWhole:
		return c.uploadWhole()
	case request.UploadMount:
		return c.mount()
	case request.UploadAppend:
		return c.appendUpload()
	case request.UploadFinish:
		return c.finishUpload()
	case request.UploadStatus:
		return c.uploadStatus()
	case request.UploadCancel:
		return c.cancelUpload()
	case request.Referrers:
		return c.referrers()
	}
	return registry.NewError(registry.CodeUnsupported, "This registry does not support that.")
}

// ping answers "is this a registry", and to docker login, whether the credentials are good.
func (c *call) ping() error {
	c.w.Header()["Docker-Distribution-Api-Version"] = []string{"registry/2.0"}
	if c.s.opt.Ping != nil {
		if err := c.s.opt.Ping(c.ctx); err != nil {
			return err
		}
	}
	return c.writeJSON("application/json", []byte("{}"))
}
