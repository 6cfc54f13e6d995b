//go:build crash && linux

package crash

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// inside is the hub's database, opened beside it or while it is down.
type inside struct {
	t  testing.TB
	db *sql.DB
}

func (h *hub) inside() *inside {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.data, "hallmark.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		h.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return &inside{h.t, db}
}

func (i *inside) close() { i.db.Close() }

func (i *inside) exec(query string) {
	i.t.Helper()
	if _, err := i.db.ExecContext(context.Background(), query); err != nil {
		i.t.Fatalf("%s: %v", query, err)
	}
}

// texts runs a query of one column of text.
func (i *inside) texts(query string) []string {
	i.t.Helper()
	rows, err := i.db.QueryContext(context.Background(), query)
	if err != nil {
		i.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			i.t.Fatalf("%s: %v", query, err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		i.t.Fatalf("%s: %v", query, err)
	}
	return out
}

func (i *inside) count(query string) int {
	i.t.Helper()
	var n int
	if err := i.db.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		i.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// set is texts as a set.
func (i *inside) set(query string) map[string]bool {
	i.t.Helper()
	out := map[string]bool{}
	for _, s := range i.texts(query) {
		out[s] = true
	}
	return out
}

// auditStore looks into the store of a hub that is down: the database is sound, its rows agree with each other, and each
// blob's bytes are on the disk.
func (r *run) auditStore() {
	r.t.Helper()
	r.hub.auditStore(r.violation)
	in := r.hub.inside()
	defer in.close()
	for action, value := range map[string]string{"manifest.push": here, "manifest.delete": absent} {
		least, most := r.history.happened("manifest", value)
		if n := in.count(`SELECT count(*) FROM audit WHERE action = '` + action + `'`); n < least || n > most {
			r.violation("I12: the audit has %d rows of %s; %d were acknowledged, %d asked for", n, action, least, most)
		}
	}
}

func (h *hub) auditStore(violation func(string, ...any)) {
	h.t.Helper()
	in := h.inside()
	defer in.close()
	for _, said := range in.texts(`PRAGMA integrity_check`) {
		if said != "ok" {
			violation("database: %s", said)
		}
	}
	if n := in.count(`SELECT count(*) FROM pragma_foreign_key_check`); n > 0 {
		violation("database: %d rows refer to nothing", n)
	}
	for what, query := range map[string]string{
		"a tag leads to a manifest of its repository": `SELECT count(*) FROM tag t WHERE NOT EXISTS (SELECT 1 FROM manifest_link l
			WHERE l.repository_id = t.repository_id AND l.digest = t.digest)`,
		"a manifest's blobs are in its repository (I3)": `SELECT count(*) FROM manifest_link l JOIN manifest_reference f ON f.manifest = l.digest
			WHERE f.kind = 'blob' AND NOT EXISTS (SELECT 1 FROM blob_link b WHERE b.repository_id = l.repository_id AND b.digest = f.target)`,
		"a project is charged for what it has, and no more (I6)": `SELECT count(*) FROM (
			SELECT project_id, digest FROM project_blob EXCEPT SELECT * FROM held UNION SELECT * FROM (SELECT * FROM held EXCEPT SELECT project_id, digest FROM project_blob))`,
		"no key in use is about to be removed": `SELECT count(*) FROM garbage_key WHERE key IN (SELECT key FROM blob)`,
	} {
		held := `WITH held AS (SELECT r.project_id, l.digest FROM blob_link l JOIN repository r ON r.id = l.repository_id
			UNION SELECT r.project_id, l.digest FROM manifest_link l JOIN repository r ON r.id = l.repository_id) `
		if n := in.count(held + query); n > 0 {
			violation("not so %d times: %s", n, what)
		}
	}
	for _, row := range in.texts(`SELECT key || ' ' || size || ' ' || digest FROM blob`) {
		var key, digest string
		var size int64
		if _, err := fmt.Sscan(row, &key, &size, &digest); err != nil {
			h.t.Fatal(err)
		}
		n, d, err := hashFile(filepath.Join(h.data, "blobs", key))
		if err != nil || n != size || d != digest {
			violation("I1: blob %s of %d bytes lies under %s: %d bytes, %s, %v", digest, size, key, n, d, err)
		}
	}
	for path := range h.strays(in) {
		violation("F-01: %s is on the disk, and no row of the database knows it: it would stay there for ever", path)
	}
}

func hashFile(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return n, "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// strays are files of the blob store that belong neither to a blob nor to an upload and are not about to be removed. A
// committed file that only an upload's row could explain, because the hub was killed between the two, is the upload's.
func (h *hub) strays(in *inside) map[string]bool {
	h.t.Helper()
	known := in.set(`SELECT key FROM blob UNION SELECT key FROM garbage_key UNION SELECT id FROM upload`)
	out := map[string]bool{}
	root := filepath.Join(h.data, "blobs")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		key, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		upload := key[strings.LastIndexAny(key, "./")+1:]
		if !known[key] && !known[upload] {
			out[key] = true
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// auditAged makes every unfinished upload and every key that was given up old, lets the hub sweep, and expects nothing on
// the disk but blobs (F-01: temporary files are reclaimed).
func (r *run) auditAged() { r.hub.auditAged(r.violation) }

func (h *hub) auditAged(violation func(string, ...any)) {
	h.t.Helper()
	// Uploads first: sweeping them gives their keys up, which are then old in the second round.
	for _, left := range []string{`SELECT count(*) FROM upload`, `SELECT count(*) FROM garbage_key`} {
		in := h.inside()
		in.exec(`UPDATE upload SET created_at = 0, updated_at = 0, writer_until = 0`)
		in.exec(`UPDATE garbage_key SET delete_after = 0`)
		in.exec(`DELETE FROM job WHERE kind = 'sweep-uploads'`)
		in.exec(`DELETE FROM schedule WHERE kind = 'sweep-uploads'`)
		in.close()
		h.start()
		in = h.inside()
		if !poll(context.Background(), 20*time.Second, func() bool { return in.count(left) == 0 }) {
			violation("F-01: the sweeper leaves %d rows: %s", in.count(left), left)
		}
		in.close()
		h.stop()
	}
	in := h.inside()
	defer in.close()
	for path := range h.strays(in) {
		violation("F-01: %s is left on the disk, though no row of the database knows it any more", path)
	}
	if names, err := os.ReadDir(filepath.Join(h.data, "blobs", "uploads")); len(names) > 0 || (err != nil && !errors.Is(err, fs.ErrNotExist)) {
		violation("F-01: %d files of uploads are left, %v", len(names), err)
	}
}
