package blob

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrNotFound says that nothing lies under a key. Test for it with errors.Is.
var ErrNotFound = errors.New("blob: no content under this key")

// ErrFull says that the store has no room left. Nothing of what was there before is lost.
var ErrFull = errors.New("blob: no space left in the store")

// ErrBusy says that an upload is being written by another Writer of this store, so that a late append of one cannot
// reach what the other commits. Disk sees Writers of other processes too (flock); on an object store only the caller's
// own lock, a row, keeps the replicas apart.
var ErrBusy = errors.New("blob: another request is writing to this upload")

// ErrBadKey says that a key or upload id has a form that no store takes. See CheckKey and CheckUpload.
var ErrBadKey = errors.New("blob: malformed key")

// Store keeps bytes under keys. A key is never used twice: whoever makes one puts something unique into it, so a late
// Delete can never hit newer content. All methods may be called concurrently; a single Writer may not.
type Store interface {
	// Create begins content under a new upload id, which the caller makes and never uses twice (CheckUpload has
	// its form). Nothing is readable by Open before Commit. The Writer may be used until ctx ends; Close still
	// keeps the bytes afterwards.
	Create(ctx context.Context, upload string) (Writer, error)

	// Resume continues an upload that Close left uncommitted, also in another process. The Writer's Size says
	// how many bytes are already there: after a crash that can be more or less than the caller believes, so it
	// compares. ErrNotFound if there is no such upload, ErrBusy if another Writer holds it.
	Resume(ctx context.Context, upload string) (Writer, error)

	// Open returns committed content. Disk returns an *os.File, so that a server may use sendfile. ErrNotFound.
	Open(ctx context.Context, key string) (Content, error)

	// URL returns an address from which the content under key can be read directly for ttl, or "" if the store
	// has none (disk, memory).
	URL(ctx context.Context, key string, ttl time.Duration) (string, error)

	// Delete removes committed content by its key, or an unfinished upload by its id. An id never reaches content
	// that was committed from it. Deleting what is not there is no error. A power loss may undo a Delete.
	Delete(ctx context.Context, name string) error

	// List calls f for every key or upload id with its size and the time it was last written, in no order, until
	// f returns an error, which List then returns. For import and fsck only: correctness of the registry never
	// depends on it. An object store shows an unfinished upload only after its first Close.
	List(ctx context.Context, f func(Info) error) error

	// Persistent says whether bytes of an unfinished upload are in the store as soon as Write returns, so that
	// its length is the truth about its offset (disk), or whether the caller has to keep the offset (object
	// stores, where a part exists only after Close).
	Persistent() bool
}

// Writer receives the bytes of one upload. After an error of Write or Commit the Writer can only be closed. Write does
// not keep p, and buffers nothing on disk: call it with large pieces (256 KiB). Not for concurrent use.
type Writer interface {
	io.Writer

	// Size is the number of bytes received so far, earlier sessions included.
	Size() int64

	// Reader reads what was received so far from the start, for re-hashing after the hash state was lost. An object
	// store cannot read back the parts of a large upload: then the error is errors.ErrUnsupported.
	Reader(ctx context.Context) (io.ReadCloser, error)

	// Commit makes the content durable and readable and returns the key it is now under; d goes into the key on
	// disk, so that a person finds a blob by its digest. When Commit has returned nil, the bytes survive a power
	// loss: the file and every directory on its way are synced, or the object store has acknowledged them. After an
	// error the upload may be gone, and an object store may have kept what it did not acknowledge: begin again
	// under a new id.
	Commit(ctx context.Context, d digest.Digest) (key string, err error)

	// Close ends this session and keeps the bytes for Resume, unless Commit was called. Close after Commit does nothing.
	Close() error
}

// Content is committed content, readable from any offset.
type Content interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Info describes one stored key for List.
type Info struct {
	Key       string // of committed content; otherwise the upload id
	Size      int64
	Modified  time.Time
	Committed bool // false: an unfinished upload
}

// Finder is what a store is besides whose keys say more than the upload's id: it knows what uploads were committed as,
// when a process died before it could write that down.
type Finder interface {
	// Find returns the keys of committed content that came from these uploads. It may read the names of all there is.
	Find(ctx context.Context, uploads []string) (keys []string, err error)
}
