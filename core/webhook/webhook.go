package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Options of New.
type Options struct {
	Store   *store.Store
	Keyring *seal.Keyring
	Log     *slog.Logger
	Source  string         // address of the hub as others know it: source of its events
	Allow   []netip.Prefix // networks that may be reached though they are not public
	Mail    *Mail          // nil: there is no mail server
	// Enqueue makes the job that calls Deliver.
	Enqueue  func(tx *db.Tx, j Job) error
	RootCAs  *x509.CertPool // nil: those of the system
	Resolver *net.Resolver  // nil: that of the system
	Patience time.Duration  // with a whole exchange; 0 is ten seconds
}

// Job is what the job that delivers is told.
type Job struct {
	Webhook  string    `json:"webhook"`            // id
	Delivery string    `json:"delivery,omitempty"` // id; "": whatever waits for the webhook
	Target   string    `json:"-"`                  // whom it talks to
	At       time.Time `json:"-"`
}

// Sender sends. Its methods may be called concurrently.
type Sender struct {
	opt    Options
	client *http.Client // for https
	plain  *http.Client // for http
	count  *prometheus.CounterVec
}

const (
	dialPatience = 5 * time.Second
	patience     = 10 * time.Second // of a whole exchange
	maxAnswer    = 64 << 10         // bytes of an answer that are read
	shownAnswer  = 512              // of which so many are kept
)

// New makes a Sender.
func New(opt Options) *Sender {
	if opt.Source == "" {
		opt.Source = "urn:hallmark" // CloudEvents want one; a hub that knows its address has a better one
	}
	s := &Sender{opt: opt, count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hallmark_webhook_deliveries_total",
		Help: "Attempts of this process to tell somebody what has happened, by channel and result."}, []string{"channel", "result"})}
	if opt.Patience == 0 {
		opt.Patience = patience
	}
	s.client, s.plain = opt.client(true), opt.client(false)
	return s
}

// client makes one that reaches what is allowed, and what is public if public.
func (opt *Options) client(public bool) *http.Client {
	return &http.Client{
		Timeout: opt.Patience,
		// Where a receiver sends its callers is nobody's business: the answer that says so is a failure.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No proxy: it would reach what the dialer refuses.
			DialContext:            guardedDialer(opt.Resolver, opt.Allow, public),
			TLSClientConfig:        &tls.Config{RootCAs: opt.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialPatience,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true, // an answer that unpacks to gigabytes is not unpacked
			ForceAttemptHTTP2:      true,
		},
	}
}

// Collector is what there is to measure.
func (s *Sender) Collector() prometheus.Collector { return s.count }

// Save makes or changes a webhook, as store.PutWebhook.
func (s *Sender) Save(ctx context.Context, p *core.Project, name string, n store.WebhookPut, revision int64) (*store.Webhook, bool, error) {
	for _, pattern := range n.Events {
		if !event.CoversAny(pattern) {
			return nil, false, core.Invalid("/events", "%q is no event: there are %s, and artifact.* stands for all of a noun, * for everything", pattern, typeList())
		}
	}
	if n.Channel == store.ChannelHTTP && n.Secret != nil {
		if _, err := secretKey(*n.Secret); err != nil {
			return nil, false, core.Invalid("/secret", "a secret to sign with is whsec_ and 24 to 64 random bytes in base64: make one with: echo whsec_$(openssl rand -base64 32)")
		}
	}
	if n.Channel == store.ChannelEmail && s.opt.Mail == nil {
		return nil, false, core.Invalid("/channel", "this hub has no mail server: its operator names one with HALLMARK_SMTP")
	}
	return s.opt.Store.PutWebhook(ctx, s.opt.Keyring, p, name, n, revision)
}

func typeList() string {
	text := ""
	for i, t := range event.Types() {
		if i > 0 {
			text += ", "
		}
		text += string(t)
	}
	return text
}

const (
	// gather is how long a chat and mail wait for what comes with an event: it is one message.
	gather = 5 * time.Second
	// dispatchBatch is how many events one transaction finds receivers for.
	dispatchBatch = 100
	// forgotten is after how long a delivery that nobody has tried gets a job again: its own was lost.
	forgotten = time.Minute
)

// Dispatch finds out who wants to be told of what is new, and makes the jobs that tell. It returns how many events it looked at.
func (s *Sender) Dispatch(ctx context.Context) (int, error) {
	ctx = core.WithPrincipal(ctx, core.System())
	if err := s.remember(ctx); err != nil {
		return 0, err
	}
	done := 0
	for {
		events, err := s.opt.Store.NewEvents(ctx, dispatchBatch)
		if err != nil || len(events) == 0 {
			return done, err
		}
		var projects []string
		for _, e := range events {
			projects = append(projects, e.ProjectID)
		}
		slices.Sort(projects)
		hooks, err := s.opt.Store.ActiveWebhooks(ctx, slices.Compact(projects))
		if err != nil {
			return done, err
		}
		err = s.opt.Store.DB().Write(ctx, func(tx *db.Tx) error {
			for i := range events {
				if err := store.Dispatched(tx, events[i].ID, receivers(&events[i], hooks), gather, func(w *store.Webhook, id string, at time.Time) error {
					return s.opt.Enqueue(tx, jobFor(w, id, at))
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
		done += len(events)
	}
}

// remember makes jobs again for what has been due for long: a job that ran meanwhile did not see it.
func (s *Sender) remember(ctx context.Context) error {
	stuck, err := s.opt.Store.StuckDeliveries(ctx, s.opt.Store.Now().Add(-forgotten), dispatchBatch)
	if err != nil || len(stuck) == 0 {
		return err
	}
	return s.opt.Store.DB().Write(ctx, func(tx *db.Tx) error {
		for _, d := range stuck {
			if err := s.opt.Enqueue(tx, jobFor(&d.To, d.ID, d.DueAt)); err != nil {
				return err
			}
		}
		return nil
	})
}

// jobFor is the job for a delivery: of chats and mail one for all that waits.
func jobFor(w *store.Webhook, delivery string, at time.Time) Job {
	j := Job{Webhook: w.ID, Delivery: delivery, Target: w.Host, At: at}
	if w.Channel != store.ChannelHTTP {
		j.Delivery = ""
	}
	return j
}

// receivers are the webhooks that want to be told of an event.
func receivers(e *store.Event, hooks []*store.Webhook) []*store.Webhook {
	var out []*store.Webhook
	for _, w := range hooks {
		if (w.Scope == "" || w.Scope == e.ProjectID) && wants(w, e) {
			out = append(out, w)
		}
	}
	return out
}

func wants(w *store.Webhook, e *store.Event) bool {
	if !slices.ContainsFunc(w.Events, func(p string) bool { return event.Covers(p, event.Type(e.Type)) }) {
		return false
	}
	about := aboutOf(e)
	if len(w.Repositories) > 0 && !slices.ContainsFunc(w.Repositories, func(p string) bool { return about.Repository != "" && access.Match(p, about.Repository) }) {
		return false
	}
	// Of what is as bad as nobody knows everybody is told.
	rank := core.Severity(about.Severity).Rank()
	return e.Type != string(event.ArtifactVulnerable) || w.MinSeverity == "" || rank <= 0 || rank >= w.MinSeverity.Rank()
}
