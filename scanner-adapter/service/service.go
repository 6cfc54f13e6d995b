package service

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
	"github.com/hallmarkhub/hallmark/scanner-adapter/worker"
)

// Options of a service.
type Options struct {
	Scanner    spec.Scanner
	Registries []*url.URL // what a request may name
	Hosts      []string   // where those may send readers, and ask for tokens
	Credential Credential
	Limits     image.Limits
	SBOMs      SBOMLimits
	Scans      int // at once
	Queue      int // that wait
	Keep       time.Duration
	KeepBytes  int64 // of all reports that are kept
	Extras     bool  // secrets, licences and configuration, for requests that do not say
	Worker     *worker.Worker
	Store      *database.Store
	Databases  []*database.Refresher
	Log        *slog.Logger
}

// Service is the adapter.
type Service struct {
	opt Options
	now func() time.Time

	mu    sync.Mutex
	scans map[string]*scan
	order []string // of scans, the oldest first
	kept  int64    // bytes of reports
	queue chan *scan

	matching chan struct{} // holds one of each stream of SBOMs that is answered
}

// New returns a service. Run makes it work.
func New(opt Options) *Service {
	return &Service{opt: opt, now: time.Now, scans: map[string]*scan{}, queue: make(chan *scan, opt.Queue),
		matching: make(chan struct{}, opt.Scans)}
}

// Run scans what is asked for until ctx ends, then ends the scans that run.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range s.opt.Scans {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case one := <-s.queue:
					s.perform(ctx, one)
				}
			}
		})
	}
	all.Wait()
}

// Handler answers requests.
func (s *Service) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /probe/healthy", func(w http.ResponseWriter, r *http.Request) {})
	m.HandleFunc("GET /probe/ready", s.ready)
	m.Handle("GET /api/v1/metadata", s.guarded(s.metadata))
	m.Handle("POST /api/v1/scan", s.guarded(s.accept))
	m.Handle("GET /api/v1/scan/{id}/report", s.guarded(s.report))
	m.Handle("POST /api/v1/sboms", s.guarded(s.sboms))
	m.Handle("GET /api/v1/database", s.guarded(s.databases))
	m.Handle("PUT /api/v1/database/{kind}", s.guarded(s.upload))
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		failure(w, http.StatusNotFound, "There is nothing here. The API is below /api/v1.")
	})
	return m
}
