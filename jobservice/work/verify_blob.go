package work

import (
	"context"
	_ "crypto/sha256" // the algorithms that digests of the hub have
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// KindVerifyBlob reads a blob from the store and compares it with its digest. Its payload is VerifyBlobPayload.
const KindVerifyBlob = "verify-blob"

// VerifyBlobPayload says which blob.
type VerifyBlobPayload struct {
	Digest string `json:"digest"`
}

// verifyBuffer is how much is read at once.
const verifyBuffer = 256 << 10

// VerifyBlob runs jobs of KindVerifyBlob. A blob whose bytes are not those of its digest, or are missing, fails the job
// for good, is logged, and is in the audit trail as blob.corrupt. A blob that was removed meanwhile is fine.
func VerifyBlob(d *db.DB, blobs blob.Store, log *slog.Logger) jobservice.Spec {
	v := verifier{db: d, blobs: blobs, log: log}
	return jobservice.Spec{MaxRunning: 2, Run: v.run}
}

type verifier struct {
	db    *db.DB
	blobs blob.Store
	log   *slog.Logger
}

// corrupt says what is wrong with a blob.
type corrupt struct{ what string }

func (c *corrupt) Error() string { return c.what }

func (v verifier) run(ctx context.Context, t *jobservice.Task) error {
	var p VerifyBlobPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	dgst, err := digest.Parse(p.Digest)
	if err != nil {
		return jobservice.Permanent(fmt.Errorf("%.80q is not a digest", p.Digest))
	}
	err = v.verify(ctx, t, dgst)
	var bad *corrupt
	if !errors.As(err, &bad) {
		return err
	}
	v.log.Error("a blob is damaged", "digest", dgst, "what", bad.what)
	err = t.Write(ctx, func(tx *db.Tx) error { return store.Audit(tx, "blob.corrupt", "", dgst.String(), "") })
	if err != nil {
		return err // and verify again
	}
	return jobservice.Permanent(bad)
}

// verify reads the blob. Its key may change while it is opened: then the row is read once more.
func (v verifier) verify(ctx context.Context, t *jobservice.Task, d digest.Digest) error {
	var key, before string
	var size int64
	for {
		err := v.db.QueryRow(ctx, `SELECT key, size FROM blob WHERE digest = $1`, d.String()).Scan(&key, &size)
		if errors.Is(err, db.ErrNoRows) {
			t.Progress(100, "the blob has been removed")
			return nil
		}
		if err != nil {
			return err
		}
		content, err := v.blobs.Open(ctx, key)
		if err == nil {
			defer content.Close()
			return compare(ctx, t, content, d, size)
		}
		if !errors.Is(err, blob.ErrNotFound) {
			return err
		}
		if key == before {
			return &corrupt{"The bytes of the blob are missing. Push an image that has it again, or restore it from a backup."}
		}
		before = key
	}
}

// compare reads the content to its end.
func compare(ctx context.Context, t *jobservice.Task, content io.Reader, want digest.Digest, size int64) error {
	hash := want.Algorithm().Digester()
	buf := make([]byte, verifyBuffer)
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, err := content.Read(buf)
		hash.Hash().Write(buf[:k])
		n += int64(k)
		if size > 0 {
			t.Progress(int(100*n/max(size, n)), "reading")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got := hash.Digest(); got != want || n != size {
		return &corrupt{fmt.Sprintf("The bytes of the blob are not those of its digest: they are %d bytes with %s, and should be %d with %s. "+
			"Push an image that has it again, or restore it from a backup.", n, got, size, want)}
	}
	t.Progress(100, fmt.Sprintf("%d bytes are as they should be", n))
	return nil
}
