package main

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// hub is everything of a running process that the listeners need.
type hub struct {
	cfg *Config
	log *slog.Logger

	access *slog.Logger // one line for each request, in blocks

	db        *db.DB
	blobs     blob.Store
	redis     *redis.Server // nil where the job queue is in memory
	store     *store.Store
	dir       *store.Directory
	auth      *auth.Authenticator
	proxies   *auth.Proxies
	keyring   *seal.Keyring
	keeper    *gatekeeper.Keeper
	packages  *inventory.Inventory
	scans     *scan.Service
	registry  registry.Registry // with rights, and with the gate below them
	endpoints *upstream.Endpoints
	jobs      *jobservice.Runner
	newerData *scan.Reevaluator
	webhooks  *webhook.Sender
	pulls     *ledger.Pulls
	reads     *ledger.GateReads
	scanner   *scanner

	public, internal http.Handler
	first            bool // the administrator was made by this start
	ready            atomic.Bool
	blobsHealth      struct { // what an object store answered last
		sync.Mutex
		at  time.Time
		err error
	}
	background func(ctx context.Context) // runs until ctx ends
	work       func(ctx context.Context) // runs jobs until ctx ends and they have ended
}

// wire puts the rooms together: local and remote -> upstream -> gatekeeper -> access -> server, and everything beside them.
func wire(ctx context.Context, o *opened) (*hub, error) {
	h := &hub{cfg: o.cfg, log: o.log, access: o.access, db: o.db, blobs: o.blobs, keyring: o.keyring, store: store.New(o.db)}
	if err := h.wireAuth(ctx, o); err != nil {
		return nil, err
	}
	limits := registry.ManifestLimits{Payload: int(o.cfg.Bytes("limits.manifest_bytes"))}
	loc, err := local.New(o.db, o.blobs, local.Options{
		Record: ledger.Record, Full: o.reserve.full, MakeRoom: o.reserve.release, Lease: o.cfg.Duration("gc_grace"),
		Manifest:    limits,
		MaxBlobSize: o.cfg.Bytes("limits.blob_bytes"), UploadsPerPrincipal: o.cfg.Int("limits.uploads_per_principal"),
		UploadsPerRepository: o.cfg.Int("limits.uploads_per_repository"),
		ManifestCacheBytes:   int(o.cfg.Bytes("limits.manifest_cache")), BlobCacheBytes: int(o.cfg.Bytes("limits.blob_cache")),
	})
	if err != nil {
		return nil, err
	}
	attaching, err := h.attaching(ctx, o, loc)
	if err != nil {
		return nil, err
	}
	h.pulls, h.reads = ledger.NewPulls(h.store, o.log), ledger.NewGateReads(h.store, o.log)
	h.endpoints = upstream.NewEndpoints(h.store, o.keyring)
	all := upstream.New(loc, upstream.Options{Store: h.store, Directory: h.dir, Endpoints: h.endpoints, Record: ledger.Audit, Log: o.log})
	h.keeper = gatekeeper.New(all, gatekeeper.Options{Store: h.store, Directory: h.dir, Manifest: limits, Log: o.log, Attaching: attaching,
		Floor: core.Baseline(o.cfg.String("baseline_floor")), Host: o.host(), Link: o.verdictLink(), Note: h.reads.Note, Owed: h.packagesOwed})
	h.packages = inventory.New(h.store, h.dir, h.keeper, o.log, inventory.Limits{})
	h.registry = access.Wrap(h.keeper.Wrap(), h.dir)
	h.scans = h.scanning(o, all)
	if err := h.keeper.NoteTerms(ctx); err != nil {
		return nil, err
	}
	if err := h.wireJobs(ctx, o, loc); err != nil {
		return nil, err
	}
	// Everybody who caches has subscribed by now.
	if err := o.db.Follow(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	if o.cfg.hasRole("core") { // where somebody looks for the administrator's secret
		if err := h.firstStart(ctx); err != nil {
			return nil, err
		}
		if err := h.makeSystemProject(ctx); err != nil {
			return nil, err
		}
	}
	if err := h.wireScanner(o); err != nil {
		return nil, err
	}
	if err := h.wireHandlers(ctx, o, loc); err != nil {
		return nil, err
	}
	h.ready.Store(true)
	return h, nil
}

func (h *hub) wireAuth(ctx context.Context, o *opened) error {
	var err error
	h.proxies, err = o.cfg.proxies()
	must("trusted_proxies", err)
	// Of two processes that start on an empty database at once, one finds here that the other was first.
	if err := h.store.CheckMasterKey(ctx, h.keyring); err != nil {
		return err
	}
	h.dir = store.NewDirectory(h.store)
	h.auth, err = auth.New(ctx, auth.Options{Store: h.store, Directory: h.dir, Keyring: h.keyring, Proxies: h.proxies, Log: o.log,
		TokenLife: o.cfg.Duration("limits.token_life")})
	return err
}

// attaching is what the hub states verdicts with: its own key, which the first start makes.
func (h *hub) attaching(ctx context.Context, o *opened, loc *local.Registry) (*gatekeeper.Attaching, error) {
	fresh, err := trust.NewSecret()
	if err != nil {
		return nil, err
	}
	keys, err := h.store.EnsureSecret(core.WithPrincipal(ctx, core.System()), h.keyring, "hub-signing", fresh)
	if err != nil {
		return nil, err
	}
	signer, err := trust.LoadSigner(keys[len(keys)-1].Value)
	if err != nil {
		return nil, err
	}
	id, err := h.store.HubID(ctx)
	return &gatekeeper.Attaching{HubID: id, URL: o.publicURL(), Signer: signer, Put: loc.Attach, Remove: loc.Detach}, err
}

// firstStart makes the administrator, and a project to push to, on a hub without any account.
func (h *hub) firstStart(ctx context.Context) error {
	ctx = core.WithPrincipal(ctx, core.System())
	n, err := h.store.CountAccounts(ctx)
	if err != nil || n > 0 {
		return err
	}
	secret := filepath.Join(h.cfg.dataDir(), "admin-secret")
	if _, err = h.auth.FirstStart(ctx, h.cfg.String("admin_password"), secret); err != nil {
		return usageError{err}
	}
	h.first = true
	// Hashing the password took 19 MiB, which nobody needs until the next log-in.
	debug.FreeOSMemory()
	_, err = h.store.CreateProject(ctx, store.NewProject{Name: "library", Visibility: core.Public,
		Baseline: core.Baseline(h.cfg.String("baseline")), Description: "Images without a project in their name."})
	if core.CodeOf(err) == core.CodeConflict {
		return nil // another process was first
	}
	return err
}

// wireJobs says which kinds of jobs there are and when they run.
func (h *hub) wireJobs(ctx context.Context, o *opened, loc *local.Registry) error {
	var q queue.Queue = memory.New()
	if h.redis = o.redis; h.redis != nil {
		id, err := h.store.HubID(ctx)
		if err != nil {
			return err
		}
		q = h.redis.Queue(id)
	}
	h.jobs = jobservice.New(o.db, q, jobservice.Options{Log: o.log, Drain: jobDrain(o.cfg)})
	idle, age := o.cfg.Duration("limits.upload_idle"), o.cfg.Duration("limits.upload_age")
	h.jobs.Register(work.KindSweepUploads, work.SweepUploads(func(ctx context.Context) (int, error) {
		n, err := loc.SweepUploads(ctx, idle, age)
		if err != nil {
			return n, err
		}
		keys, err := loc.SweepKeys(ctx)
		return n + keys, err
	}))
	h.jobs.Register(work.KindPurge, work.Purge(h.store, work.PurgeOptions{Audit: o.cfg.Duration("limits.audit_retention")}))
	h.jobs.Register(work.KindReadEvidence, work.ReadEvidence(h.keeper.Owed))
	h.jobs.Register(work.KindAttachVerdicts, work.AttachVerdicts(h.keeper.AttachVerdicts))
	waker := work.NewVerdictWaker(h.store, h.jobs, o.log)
	newer := h.wireReevaluation(o, h.scans)
	told := h.wireWebhooks(o)
	h.jobs.Register(work.KindIndexPackages, work.IndexPackages(h.packages.Owed))
	h.jobs.Register(work.KindSweepPackages, work.SweepPackages(h.store.SweepPackages))
	scanner := h.wireScans(o)
	h.jobs.Register(work.KindSweepReports, work.SweepReports(h.store.SweepReports))
	h.jobs.Every(work.KindSweepReports, 24*time.Hour)
	h.jobs.Every(work.KindIndexPackages, time.Minute)
	h.jobs.Every(work.KindSweepPackages, 24*time.Hour)
	h.jobs.Every(work.KindSweepUploads, 10*time.Minute)
	h.jobs.Every(work.KindReadEvidence, time.Minute)
	h.jobs.Cron(jobservice.Schedule{Name: work.KindPurge, Kind: work.KindPurge, Spec: "30 3 * * *"})
	h.work = func(ctx context.Context) {
		if o.cfg.hasRole("jobservice") {
			h.jobs.Run(ctx)
		}
	}
	h.background = func(ctx context.Context) {
		var all sync.WaitGroup
		if o.cfg.hasRole("jobservice") {
			all.Go(func() { waker.Run(ctx) })
			all.Go(func() { scanner.Run(ctx) })
			all.Go(func() { newer.Run(ctx) })
			all.Go(func() { told.Run(ctx) })
		}
		all.Go(func() { h.auth.Run(ctx) })
		all.Go(func() { h.pulls.Run(ctx) })
		all.Go(func() { h.reads.Run(ctx) })
		all.Go(func() { h.scanner.run(ctx) })
		all.Wait()
	}
	return nil
}

// wireWebhooks makes who tells others what has happened, and returns who wakes it.
func (h *hub) wireWebhooks(o *opened) *work.EventWaker {
	allow, err := o.cfg.webhookNetworks()
	must("webhook_allow", err)
	mail, err := o.cfg.mail()
	must("smtp", err)
	h.webhooks = webhook.New(webhook.Options{Store: h.store, Keyring: h.keyring, Log: o.log, Source: o.publicURL(), Allow: allow, Mail: mail,
		Enqueue: work.EnqueueDelivery(h.jobs)})
	h.jobs.Register(work.KindDispatch, work.Dispatch(h.webhooks.Dispatch))
	h.jobs.Register(work.KindDeliver, work.Deliver(h.webhooks.Deliver))
	h.jobs.Every(work.KindDispatch, time.Minute)
	return work.NewEventWaker(h.store, h.jobs, o.log)
}

// jobDrain is how long running jobs may go on when the process ends. One that does nothing else has as long as requests have,
// less what it takes to give jobs back.
func jobDrain(c *Config) time.Duration {
	if c.hasRole("core") {
		return 5 * time.Second
	}
	return drainTime - 10*time.Second
}

// packagesOwed has what was attested just now read soon. If that fails it is read within a minute all the same.
func (h *hub) packagesOwed(ctx context.Context) {
	err := h.db.Write(ctx, func(tx *db.Tx) error {
		_, err := h.jobs.Enqueue(tx, jobservice.Job{Kind: work.KindIndexPackages, UniqueKey: work.KindIndexPackages})
		return err
	})
	if err != nil {
		h.log.Warn("a bill of materials is read later than it could be", "error", err)
	}
}
