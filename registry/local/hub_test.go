package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/local"
)

const repo = "p1/app"

// hub is a registry with what it stands on, and the steps of a push as a test says them.
type hub struct {
	testing.TB
	*local.Registry
	db    *db.DB
	store blob.Store
	ctx   context.Context
}

func newHub(t testing.TB, d *db.DB, store blob.Store, opt local.Options) *hub {
	t.Helper()
	return &hub{t, open(t, d, store, opt), d, store, as(t.Context(), "alice")}
}

// another is a further registry over the same database and store, as another process, or this one after a restart.
func (h *hub) another(d *db.DB, store blob.Store, opt local.Options) *hub {
	h.Helper()
	l, err := local.New(d, store, opt)
	if err != nil {
		h.Fatal(err)
	}
	if d != h.db {
		if err := d.Follow(context.Background()); err != nil {
			h.Fatal(err)
		}
	}
	return &hub{h.TB, l, d, store, h.ctx}
}

func (h *hub) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// code fails the test unless err has the code.
func (h *hub) code(err error, want registry.Code) {
	h.Helper()
	if got := registry.CodeOf(err); got != want {
		h.Fatalf("want %s, got %v", want, err)
	}
}

func (h *hub) start(repo string) string {
	h.Helper()
	u, err := h.StartUpload(h.ctx, repo, "")
	h.must(err)
	return u.ID
}

func (h *hub) add(repo, id string, at int64, data string) int64 {
	h.Helper()
	u, err := h.AppendUpload(h.ctx, repo, id, at, strings.NewReader(data))
	h.must(err)
	return u.Size
}

func (h *hub) finish(repo, id, data string) error {
	_, err := h.FinishUpload(h.ctx, repo, id, -1, nil, digest.FromString(data))
	return err
}

// blobs pushes each text as a blob.
func (h *hub) blobs(repo string, data ...string) {
	h.Helper()
	for _, d := range data {
		h.must(pushBlob(h.ctx, h, repo, []byte(d)))
	}
}

// manifest is an image of blobs, the first of which is its config.
func manifest(blobs ...string) registry.ManifestPut {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	for i, b := range blobs {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(b), Size: int64(len(b))}
		if i == 0 {
			d.MediaType = ocispec.MediaTypeImageConfig
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	return put(m.MediaType, m)
}

func put(mediaType string, v any) registry.ManifestPut {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return registry.ManifestPut{MediaType: mediaType, Payload: b, Digest: digest.FromBytes(b)}
}

func tagged(p registry.ManifestPut, tags ...string) registry.ManifestPut {
	p.Tags = tags
	return p
}

func (h *hub) push(repo string, p registry.ManifestPut) {
	h.Helper()
	_, err := h.PutManifest(h.ctx, repo, p)
	h.must(err)
}

// image pushes an image of blobs, with them.
func (h *hub) image(repo, tag string, blobs ...string) registry.ManifestPut {
	h.Helper()
	h.blobs(repo, blobs...)
	p := tagged(manifest(blobs...), tag)
	h.push(repo, p)
	return p
}

// read returns a whole blob.
func (h *hub) read(repo string, d digest.Digest) ([]byte, error) {
	b, err := h.Blob(h.ctx, repo, d)
	if err != nil {
		return nil, err
	}
	defer b.Content.Close()
	return io.ReadAll(b.Content)
}

func (h *hub) has(repo, data string) {
	h.Helper()
	if got, err := h.read(repo, digest.FromString(data)); err != nil || string(got) != data {
		h.Fatalf("blob %.20q of %s: %d bytes, %v", data, repo, len(got), err)
	}
}

func (h *hub) hasTag(repo, tag string) digest.Digest {
	h.Helper()
	m, err := h.Manifest(h.ctx, repo, registry.Reference{Tag: tag}, false)
	h.must(err)
	return m.Digest
}

// exec runs one statement past the registry.
func (h *hub) exec(query string, args ...any) int64 {
	h.Helper()
	var n int64
	h.must(h.db.Write(context.Background(), func(tx *db.Tx) (err error) {
		n, err = tx.Exec(query, args...)
		return err
	}))
	return n
}

// rows reads a query's rows as texts.
func (h *hub) rows(query string, args ...any) []string {
	h.Helper()
	var out []string
	h.must(h.db.Query(context.Background(), query, args, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		out = append(out, s)
		return err
	}))
	return out
}

func (h *hub) count(query string, args ...any) int {
	h.Helper()
	var n int
	h.must(h.db.QueryRow(context.Background(), query, args...).Scan(&n))
	return n
}

// audit compares what is stored with what the rows say. It is the same after every fault: nothing that was acknowledged
// is lost, nothing is half there, and no bytes lie in the store that no row knows.
func (h *hub) audit() {
	h.Helper()
	h.auditRows()
	h.auditBytes()
}

func (h *hub) auditRows() {
	h.Helper()
	for what, query := range map[string]string{
		"references to blobs that the repository does not have": `SELECT count(*) FROM manifest_link m JOIN manifest_reference f ON f.manifest = m.digest AND f.kind = 'blob'
			WHERE NOT EXISTS (SELECT 1 FROM blob_link b WHERE b.repository_id = m.repository_id AND b.digest = f.target)`,
		"keys that are both in use and given up": `SELECT count(*) FROM blob JOIN garbage_key ON garbage_key.key = blob.key`,
		"manifests without references":           `SELECT count(*) FROM manifest m WHERE NOT EXISTS (SELECT 1 FROM manifest_reference f WHERE f.manifest = m.digest) AND m.media_type NOT LIKE '%index%'`,
	} {
		if n := h.count(query); n != 0 {
			h.Errorf("%d %s", n, what)
		}
	}
	h.auditUsage()
}

// auditUsage compares the accounts of projects with their links.
func (h *hub) auditUsage() {
	h.Helper()
	const links = `SELECT DISTINCT r.project_id || ' ' || x.digest || ' ' || CAST(x.size AS TEXT) FROM repository r JOIN (
		SELECT l.repository_id, b.digest, b.size FROM blob_link l JOIN blob b ON b.digest = l.digest UNION
		SELECT l.repository_id, m.digest, m.size FROM manifest_link l JOIN manifest m ON m.digest = l.digest) AS x ON x.repository_id = r.id ORDER BY 1`
	want, got := h.rows(links), h.rows(`SELECT project_id || ' ' || digest || ' ' || CAST(size AS TEXT) FROM project_blob ORDER BY 1`)
	if strings.Join(want, "\n") != strings.Join(got, "\n") {
		h.Errorf("usage does not say what the links say.\nlinks:\n%s\nusage:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

func (h *hub) auditBytes() {
	h.Helper()
	known := map[string]bool{}
	for _, k := range h.rows(`SELECT key FROM blob UNION SELECT key FROM garbage_key UNION SELECT id FROM upload`) {
		known[k] = true
	}
	h.must(h.store.List(context.Background(), func(i blob.Info) error {
		if !known[i.Key] {
			h.Errorf("%d bytes lie under %s, which no row knows", i.Size, i.Key)
		}
		return nil
	}))
	for _, line := range h.rows(`SELECT digest || ' ' || key FROM blob`) {
		d, key, _ := strings.Cut(line, " ")
		h.must(h.contentIs(key, digest.Digest(d)))
	}
}

func (h *hub) contentIs(key string, d digest.Digest) error {
	c, err := h.store.Open(context.Background(), key)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	defer c.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, c); err != nil {
		return err
	}
	if !v.Verified() {
		return fmt.Errorf("what lies under %s is not %s", key, d)
	}
	return nil
}

// reader hands out what it is sent, chunk by chunk, until the channel is closed.
type reader struct {
	chunks <-chan string
	rest   []byte
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		c, ok := <-r.chunks
		if !ok {
			return 0, io.EOF
		}
		r.rest = []byte(c)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

var errBoom = errors.New("boom")

// large is content that is not kept in memory.
func large(name string) string {
	return string(bytes.Repeat([]byte(name+"."), (smallBlob+1)/len(name)+1))
}
