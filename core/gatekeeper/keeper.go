package gatekeeper

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Options are what a Keeper needs besides the registry behind it.
type Options struct {
	Store     *store.Store
	Directory *store.Directory
	Floor     core.Baseline // no project's baseline is lower; "" or off: each as it likes
	Host      string        // as clients name the hub, for the commands of a refusal; "": left open
	// Link makes the address of the page of a verdict; nil: refusals name none.
	Link      func(repository, digest string) string
	Manifest  registry.ManifestLimits // those under which manifests are taken
	Attaching *Attaching              // nil: no verdicts are stated
	// Note is told of the reads that the audit trail is to have; it must not wait. nil: nobody is told.
	Note func(ctx context.Context, read store.GateRead)
	// Owed is called when documents have become known that are to be read (core/inventory); nil: whoever reads them looks by himself.
	Owed func(ctx context.Context)
	Log  *slog.Logger
}

// Keeper has what decisions rest on, and the decisions that hold. Its methods may be called concurrently.
type Keeper struct {
	opt   Options
	store *store.Store
	dir   *store.Directory
	guard *access.Guard
	next  registry.Registry

	// epoch counts changes of documents and projects: what was read before one is not kept after it.
	epoch     atomic.Uint64
	keep      sync.Mutex
	materials sync.Map // project -> *material
	// repositories holds the verdicts of each repository; a change of evidence drops them together.
	repositories *otter.Cache[string, *verdicts]
	hints        *otter.Cache[hint, digest.Digest]
	rereading    singleflight.Group
	searching    singleflight.Group
	reading      *semaphore.Weighted // bytes of contents
}

// repositoriesKept bounds the verdicts in memory, together with verdictsKept; hintsKept the hints of all repositories.
const (
	repositoriesKept = 2_000
	hintsKept        = 100_000
)

// New makes a Keeper in front of a registry. Make it before the database follows other processes (db.DB.Follow).
func New(next registry.Registry, opt Options) *Keeper {
	k := &Keeper{opt: opt, store: opt.Store, dir: opt.Directory, guard: access.NewGuard(opt.Directory), next: next,
		reading: semaphore.NewWeighted(maxReading), repositories: otter.Must(&otter.Options[string, *verdicts]{MaximumSize: repositoriesKept}),
		hints: otter.Must(&otter.Options[hint, digest.Digest]{MaximumSize: hintsKept})}
	opt.Store.DB().Subscribe(k.forget)
	return k
}

// forget drops what a change concerns, before the write that made it returns.
func (k *Keeper) forget(changes []db.Change) {
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeEvidence:
			k.repositories.Invalidate(c.Key)
		case store.ChangeProject, store.ChangeTrust:
			k.forgetMaterial(c.Key)
		case "":
			k.forgetMaterial("")
			k.repositories.InvalidateAll()
		}
	}
}

// forgetMaterial drops what holds in a project, or in all if it is "". Verdicts know what they rested on.
func (k *Keeper) forgetMaterial(project string) {
	k.keep.Lock()
	defer k.keep.Unlock()
	k.epoch.Add(1)
	if project == "" {
		k.materials.Clear()
		return
	}
	k.materials.Delete(project)
}

func projectOf(repository string) string {
	project, _, _ := strings.Cut(repository, "/")
	return project
}

func (k *Keeper) link(repository, digest string) string {
	if k.opt.Link == nil {
		return ""
	}
	return k.opt.Link(repository, digest)
}
