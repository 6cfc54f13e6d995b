package scan

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Options of a Service.
type Options struct {
	Store    *store.Store
	Keyring  *seal.Keyring
	Registry registry.Registry // where the hub itself reads manifests and configurations
	Limits   Limits
	// RegistryURL is where scanners fetch images if they are told nothing else.
	RegistryURL string
	// Token makes what one image is read with, as long as the job runs.
	Token func(ctx context.Context, job string, image core.OneImage) (string, error)
	// SBOMs are the media types of bills of materials that are wanted of an image besides; nil: none.
	SBOMs func(ctx context.Context, repository, digest string) []string
	// Found is told of bills of materials before a scan counts; nil: nobody is.
	Found func(ctx context.Context, repository, digest string, docs []SBOM) error
	Log   *slog.Logger
}

// Service has images scanned. Its methods may be called concurrently.
type Service struct {
	opt   Options
	store *store.Store
	scans *prometheus.CounterVec
}

// New makes a Service.
func New(opt Options) *Service {
	opt.Limits = opt.Limits.orDefault()
	return &Service{opt: opt, store: opt.Store, scans: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hallmark_scan_total",
		Help: "Scans that this process asked for, by how they ended."}, []string{"scanner", "result"})}
}

// Limits are those that hold.
func (s *Service) Limits() Limits { return s.opt.Limits }

const (
	// CheckEvery is how often a scanner is asked how it is, by whichever process is first.
	CheckEvery   = 15 * time.Second
	checkTime    = 10 * time.Second
	scannersMost = 200 // more than there can be
)

// Client is a client of a scanner as it is registered now. Close it when it is not needed.
func (s *Service) Client(ctx context.Context, name string) (*Client, *store.Scanner, error) {
	v, err := s.store.Scanner(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.dial(v)
	return c, v, err
}

func (s *Service) dial(v *store.Scanner) (*Client, error) {
	secret, err := store.ScannerSecret(s.opt.Keyring, v)
	if err != nil {
		return nil, core.Errorf(core.CodeUnavailable, "the secret of the scanner %s cannot be read: give it again", v.Name)
	}
	return NewClient(v, secret, s.opt.Limits)
}

// Save makes or changes a scanner, as store.PutScanner.
func (s *Service) Save(ctx context.Context, name string, n store.ScannerPut, revision int64) (*store.Scanner, bool, error) {
	return s.store.PutScanner(ctx, s.opt.Keyring, name, n, revision)
}

// Check asks a scanner how it is, notes it, and returns it as it then stands.
func (s *Service) Check(ctx context.Context, name string) (*store.Scanner, error) {
	v, err := s.store.Scanner(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.check(ctx, v); err != nil {
		return nil, err
	}
	return s.store.Scanner(ctx, name)
}

func (s *Service) check(ctx context.Context, v *store.Scanner) error {
	h := store.ScannerHealth{}
	c, err := s.dial(v)
	if err == nil {
		defer c.Close()
		h, err = c.health(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		h.Problem = sentence(err)
	}
	return s.store.SetScannerHealth(ctx, v, h)
}

func (c *Client) health(ctx context.Context) (h store.ScannerHealth, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	m, err := c.Metadata(ctx)
	if err != nil {
		return h, err
	}
	h.Problem, h.DatabaseAt = m.problem(), m.DatabaseAt()
	h.Metadata, err = m.short()
	return h, err
}

// CheckAll asks those scanners how they are that nobody has asked lately.
func (s *Service) CheckAll(ctx context.Context) error {
	all, _, err := s.store.Scanners(ctx, "", scannersMost)
	for _, v := range all {
		if v.Paused {
			continue
		}
		claimed, wrong := s.store.ClaimScannerCheck(ctx, v, CheckEvery)
		if wrong == nil && claimed {
			wrong = s.check(ctx, v)
		}
		err = errors.Join(err, wrong)
	}
	return err
}

// sentence is what people are told of an error: of one that is none of ours, only that there was one.
func sentence(err error) string {
	var e *Error
	var domain *core.Error
	switch {
	case errors.As(err, &e):
		return e.Reason
	case errors.As(err, &domain):
		return domain.Message
	}
	return "the hub could not do it: its log says why"
}
