package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// Options of New. Zero values take the defaults of docs/limits.md.
type Options struct {
	// Record is called inside the transaction of every change that a client sees, before it commits; of a deleted
	// manifest while its row is still there. What it returns is called after the commit.
	Record func(tx *db.Tx, e Event) (committed func(), err error)

	// Full, if set, is asked before content is taken. While it says true, pushes are refused and deletes are not.
	Full func() bool
	// MakeRoom, if set, is called by a delete for which the database had no space left. If it made some, it returns
	// true, and the delete is tried once more.
	MakeRoom func() bool
	// Lease is how long what was just pushed, mounted or looked at by a pusher is safe from garbage collection
	// without being referred to.
	Lease time.Duration
	// GarbageDelay is how long a key stays after it was given up: longer than any redirect to it lives.
	GarbageDelay time.Duration
	// RedirectTTL is how long an address handed out for a blob works.
	RedirectTTL time.Duration

	Manifest             registry.ManifestLimits
	MaxBlobSize          int64 // bytes
	UploadsPerPrincipal  int
	UploadsPerRepository int

	ManifestCacheBytes int // payloads
	BlobCacheBytes     int // contents of small blobs
}

// smallBlob is the size up to which a blob's content is kept in memory: a config, an SBOM, a signature.
const smallBlob = 64 << 10

func (o Options) orDefault() Options {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	num := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Lease, 24*time.Hour)
	def(&o.GarbageDelay, 10*time.Minute)
	def(&o.RedirectTTL, time.Minute)
	num(&o.UploadsPerPrincipal, 64)
	num(&o.UploadsPerRepository, 1000)
	num(&o.ManifestCacheBytes, 32<<20)
	num(&o.BlobCacheBytes, 16<<20)
	if o.MaxBlobSize == 0 {
		o.MaxBlobSize = 20 << 30
	}
	if o.Full == nil {
		o.Full = func() bool { return false }
	}
	if o.MakeRoom == nil {
		o.MakeRoom = func() bool { return false }
	}
	if o.Record == nil {
		o.Record = func(*db.Tx, Event) (func(), error) { return nil, nil }
	}
	return o
}

// Registry is a registry.Registry on this machine.
type Registry struct {
	db    *db.DB
	store blob.Store
	opt   Options
	// process names this process in upload rows, where several write to one database.
	process string
	// insertUpload is the statement of that name, with the limits in its text.
	insertUpload string

	// What is cached is what a warm pull needs, so that it runs no SQL. Where other processes write too, tags are not
	// cached: they are the one thing that a client expects to see move at once.
	tags      *otter.Cache[linkKey, digest.Digest] // nil where tags are not cached
	pointed   *otter.Cache[linkKey, digest.Digest] // there: what they pointed at last, which is not read again if it is the same
	manifests *otter.Cache[linkKey, *manifestLink]
	blobs     *otter.Cache[linkKey, *blobLink]
	contents  *otter.Cache[string, []byte] // by key of the store
	// epoch is part of every key, so that all that is cached, and all that is being loaded, is forgotten at once.
	epoch atomic.Uint64
	// deletions counts deleted manifests, so that none is kept that was read before it was deleted; see keepManifest.
	deletions atomic.Uint64
	keeping   sync.Mutex
	// uploads holds sessions by id. They are not cached but kept: two of one upload would be two writers.
	uploads sync.Map
	// unsettled holds the remains of uploads that ended while the database could not take it down, by id.
	unsettled sync.Map
}

var _ registry.Registry = (*Registry)(nil)

// linkKey is a repository's name and what it has: a tag or a digest.
type linkKey struct {
	repo, ref string
	epoch     uint64
}

func (l *Registry) key(repo, ref string) linkKey { return linkKey{repo, ref, l.epoch.Load()} }

// Kinds of db.Change. Keys are repository and reference, parted by a space, which neither contains.
const (
	changeTag        = "tag"
	changeManifest   = "manifest"
	changeBlob       = "blob"
	ChangeRepository = "repository" // key: the name, when it was removed with all it had
)

// New makes a registry on an open database with its schema up to date and a blob store.
func New(d *db.DB, store blob.Store, opt Options) (*Registry, error) {
	l := &Registry{db: d, store: store, opt: opt.orDefault(), process: newID()}
	l.insertUpload = insertUpload(l.opt)
	var err error
	pointers := &l.pointed
	if d.Engine() == db.SQLite {
		pointers = &l.tags
	}
	if *pointers, err = otter.New(&otter.Options[linkKey, digest.Digest]{MaximumSize: 100_000}); err != nil {
		return nil, err
	}
	if l.manifests, err = otter.New(&otter.Options[linkKey, *manifestLink]{
		MaximumWeight: uint64(l.opt.ManifestCacheBytes),
		Weigher:       func(k linkKey, m *manifestLink) uint32 { return uint32(len(m.manifest.Payload) + len(k.repo) + 512) },
	}); err != nil {
		return nil, err
	}
	if l.blobs, err = otter.New(&otter.Options[linkKey, *blobLink]{MaximumSize: 100_000}); err != nil {
		return nil, err
	}
	if l.contents, err = otter.New(&otter.Options[string, []byte]{
		MaximumWeight: uint64(l.opt.BlobCacheBytes),
		Weigher:       func(k string, b []byte) uint32 { return uint32(len(b) + len(k) + 128) },
	}); err != nil {
		return nil, err
	}
	d.Subscribe(l.forget)
	return l, nil
}

// forget drops what others changed.
func (l *Registry) forget(changes []db.Change) {
	for _, c := range changes {
		repo, ref, _ := strings.Cut(c.Key, " ")
		k := l.key(repo, ref)
		switch c.Kind {
		case changeTag:
			if l.tags != nil {
				l.tags.Invalidate(k)
			}
		case changeManifest:
			l.keeping.Lock()
			l.deletions.Add(1)
			l.manifests.Invalidate(k)
			l.keeping.Unlock()
		case changeBlob:
			l.blobs.Invalidate(k)
		case ChangeRepository, "":
			// Rare, so everything goes instead of an index by repository being kept. What is being loaded right
			// now goes too: InvalidateAll alone would leave it, and only gives back the memory.
			l.epoch.Add(1)
			if l.tags != nil {
				l.tags.InvalidateAll()
			}
			l.manifests.InvalidateAll()
			l.blobs.InvalidateAll()
		}
	}
}

// changed says in a transaction that what is cached for repo and ref is no longer true.
func (l *Registry) changed(tx *db.Tx, kind, repo, ref string) {
	if kind == changeTag && l.tags == nil {
		return
	}
	tx.Changed(kind, repo+" "+ref)
}

// EventKind says what happened in a transaction.
type EventKind string

// The events.
const (
	ManifestPushed  EventKind = "manifest.push"
	ManifestDeleted EventKind = "manifest.delete"
	TagDeleted      EventKind = "tag.delete"
	BlobDeleted     EventKind = "blob.delete"
	// ManifestAttached and ManifestDetached are of what the hub itself says about a manifest (Attach).
	ManifestAttached EventKind = "manifest.attach"
	ManifestDetached EventKind = "manifest.detach"
)

// Event is a change that a client sees, as Options.Record is told of it.
type Event struct {
	Kind       EventKind
	ProjectID  string
	Repository string
	Digest     digest.Digest
	MediaType  string
	Tags       []string
	Subject    digest.Digest
}

// record calls the hook.
func (l *Registry) record(tx *db.Tx, e Event) error {
	committed, err := l.opt.Record(tx, e)
	if err == nil && committed != nil {
		tx.OnCommit(committed)
	}
	return err
}

// repository is a row that a write needs.
type repository struct {
	id, project string
	sparse      bool // manifests may name layers and children that are not there
	pushed      bool // has had a manifest
	made        bool // just now
}

// writeTries is how often a write is begun that lost its repository to somebody who deleted it.
const writeTries = 3

func noSpace() error {
	return registry.NewError(registry.CodeNoSpace, "the hub has no space left for uploads. What was stored before is safe; tell its operator.")
}

// write runs f in a transaction with a repository, which is made if it is not there. Nothing is locked for that: if the
// repository is deleted at the same moment, a foreign key refuses what f writes, and f is run again with a new one.
func (l *Registry) write(ctx context.Context, name string, f func(tx *db.Tx, r repository) error) error {
	if l.opt.Full() {
		return noSpace()
	}
	for try := 1; ; try++ {
		var r repository
		err := l.db.Write(ctx, func(tx *db.Tx) (err error) {
			if r, err = l.repository(tx, name); err != nil {
				return err
			}
			return f(tx, r)
		})
		if err == nil || try == writeTries || r.made || !l.db.Shared() || errors.Is(err, db.ErrUnavailable) || registry.CodeOf(err) != registry.CodeUnknown {
			return err
		}
		var id string
		if gone := l.db.QueryRow(ctx, `SELECT id FROM repository WHERE name = $1`, name).Scan(&id); id == r.id || (gone != nil && !errors.Is(gone, db.ErrNoRows)) {
			return err
		}
	}
}

// free is db.Write for what removes: it also works on a disk that is full, because it makes room.
func (l *Registry) free(ctx context.Context, f func(tx *db.Tx) error) error {
	err := l.db.Write(ctx, f)
	if errors.Is(err, db.ErrFull) && l.opt.MakeRoom() {
		err = l.db.Write(ctx, f)
	}
	return err
}

// repository reads a repository and makes it if it is not there. Its project has to exist.
func (l *Registry) repository(tx *db.Tx, name string) (repository, error) {
	var r repository
	if !registry.ValidName(name) {
		return r, registry.NewError(registry.CodeNameInvalid, "a repository is named project/path, in lower-case letters, digits and single . _ - between them.")
	}
	project, _, _ := strings.Cut(name, "/")
	var id *string
	var pushed *int64
	err := tx.QueryRow(`SELECT p.id, p.sparse_indexes, r.id, r.pushed_at FROM project p
		LEFT JOIN repository r ON r.name = $2 WHERE p.name = $1`, project, name).Scan(&r.project, &r.sparse, &id, &pushed)
	if errors.Is(err, db.ErrNoRows) {
		return r, registry.NewError(registry.CodeNameUnknown, fmt.Sprintf("there is no project %q: create it first, with: hallmark create project %s", project, project))
	}
	if err != nil {
		return r, err
	}
	if id != nil {
		r.id, r.pushed = *id, *pushed > 0
		return r, nil
	}
	// Another process may make it at the same moment; then theirs is the one.
	r.made = true
	err = tx.QueryRow(`INSERT INTO repository (id, project_id, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id`, newID(), r.project, name, tx.Now()).Scan(&r.id)
	return r, err
}

// repositoryID reads the id of a repository that has to be there. On Postgres it stays until the transaction ends, and
// nobody has locked any of what it has to delete it, so that none of the two waits for the other.
func (l *Registry) repositoryID(tx *db.Tx, name string) (id, project string, err error) {
	query := `SELECT id, project_id FROM repository WHERE name = $1`
	if l.db.Engine() == db.Postgres {
		query += ` FOR KEY SHARE`
	}
	err = tx.QueryRow(query, name).Scan(&id, &project)
	if errors.Is(err, db.ErrNoRows) {
		err = nameUnknown(name)
	}
	return id, project, err
}

// exists tells an unknown name from an unknown thing in it. It is asked only when something was not found.
func (l *Registry) exists(ctx context.Context, repo string, otherwise error) error {
	var one int64
	err := l.db.QueryRow(ctx, `SELECT 1 FROM repository WHERE name = $1`, repo).Scan(&one)
	if errors.Is(err, db.ErrNoRows) {
		return nameUnknown(repo)
	}
	if err != nil {
		return err
	}
	return otherwise
}

func nameUnknown(name string) error {
	return registry.NewError(registry.CodeNameUnknown, "there is no repository "+name+": a push makes it.")
}

func manifestUnknown(repo string, ref registry.Reference) error {
	return registry.NewError(registry.CodeManifestUnknown, "repository "+repo+" has no manifest "+ref.String()+".")
}

func blobUnknown(repo string, d digest.Digest) error {
	return registry.NewError(registry.CodeBlobUnknown, "repository "+repo+" has no blob "+d.String()+".")
}
