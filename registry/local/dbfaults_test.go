package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// breakTable makes a kind of statement on a table fail until mend is called.
func (h *hub) breakTable(op, table string) (mend func()) {
	h.Helper()
	if h.db.Engine() == db.SQLite {
		h.exec(`CREATE TRIGGER boom BEFORE ` + op + ` ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'boom'); END`)
		return func() { h.Helper(); h.exec(`DROP TRIGGER boom`) }
	}
	h.exec(`CREATE OR REPLACE FUNCTION boom() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'boom'; END $$ LANGUAGE plpgsql`)
	h.exec(`CREATE TRIGGER boom BEFORE ` + op + ` ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION boom()`)
	return func() { h.Helper(); h.exec(`DROP TRIGGER boom ON ` + table) }
}

// TestDatabaseFaults lets each statement of a push fail.
func TestDatabaseFaults(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		h := newHub(t, open(t), memory.New(opt), local.Options{GarbageDelay: -1})
		safe := h.image(repo, "safe", "config", "safe layer")
		for _, step := range []string{"INSERT repository", "INSERT upload", "DELETE upload", "INSERT blob", "INSERT blob_link", "INSERT project_blob",
			"UPDATE blob_link", "INSERT manifest", "INSERT manifest_reference", "INSERT manifest_link", "INSERT tag", "UPDATE repository"} {
			t.Run(step, func(t *testing.T) {
				h.TB = t
				op, table, _ := strings.Cut(step, " ")
				repo := "p1/" + strings.ReplaceAll(strings.ToLower(step), " ", "-")
				config, layer := "config of "+step, "layer of "+step
				p := tagged(manifest(config, layer), "new")
				push := func() error {
					for _, b := range []string{config, layer} {
						if err := pushBlob(h.ctx, h, repo, []byte(b)); err != nil {
							return err
						}
					}
					_, err := h.PutManifest(h.ctx, repo, p)
					return err
				}
				mend := h.breakTable(op, table)
				h.code(push(), registry.CodeUnknown)
				if _, err := h.Manifest(h.ctx, repo, registry.Reference{Tag: "new"}, false); err == nil {
					t.Error("the tag of a push that failed is there")
				}
				if _, err := h.Manifest(h.ctx, repo, registry.Reference{Digest: p.Digest}, false); err == nil {
					t.Error("the manifest of a push that failed is there")
				}
				mend()
				_, err := h.SweepKeys(h.ctx)
				h.must(err)
				h.audit()
				h.must(push())
				if h.hasTag(repo, "new") != p.Digest || h.hasTag("p1/app", "safe") != safe.Digest {
					t.Error("a tag points elsewhere")
				}
				h.has(repo, layer)
				h.has("p1/app", "safe layer")
				h.audit()
			})
		}
	})
}

// TestDatabaseFull fills the disk of the database (F-05): what was acknowledged is there, reading goes on, and so does
// writing when there is room again.
func TestDatabaseFull(t *testing.T) {
	for name, opt := range map[string]memory.Options{"disk": {}, "objects": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, dbtest.SQLite(t)(t), memory.New(opt), local.Options{GarbageDelay: -1, UploadsPerPrincipal: 1000})
			// Half of the pushes meet the end of the disk when they begin, the others when their bytes are committed.
			h.exec(`CREATE TRIGGER weight AFTER INSERT ON blob_link BEGIN INSERT INTO meta VALUES (NEW.digest, hex(randomblob(6000))); END`)
			var begun []string
			for range 40 {
				begun = append(begun, h.start(repo))
			}
			h.limitPages(`PRAGMA page_count`, 60)
			acked := map[string]bool{}
			full := 0
			for i := 0; full < 8; i++ {
				data := fmt.Sprintf("layer %04d", i)
				var err error
				if i%2 == 0 {
					err = pushBlob(h.ctx, h, repo, []byte(data))
				} else {
					_, err = h.FinishUpload(h.ctx, repo, begun[i/2], 0, strings.NewReader(data), digest.FromString(data))
				}
				if acked[data] = err == nil; err != nil {
					if !errors.Is(err, db.ErrFull) {
						t.Fatal(err)
					}
					full++
				}
			}
			n := 0
			for data, ok := range acked {
				if ok {
					h.has(repo, data)
					n++
				} else if _, err := h.read(repo, digest.FromString(data)); err == nil {
					t.Errorf("%q was refused and is there", data)
				}
			}
			t.Logf("%d blobs fit", n)
			h.limitPages(`PRAGMA page_count`, 1000)
			_, err := h.SweepKeys(h.ctx)
			h.must(err)
			h.audit()
			h.image(repo, "after", "config", "layer")
			h.audit()
		})
	}
}

// limitPages lets the database grow by so many pages and no further. The limit is one of the writer's connection.
func (h *hub) limitPages(query string, more int) {
	h.Helper()
	h.must(h.db.Write(context.Background(), func(tx *db.Tx) error {
		var n int
		if err := tx.QueryRow(query).Scan(&n); err != nil {
			return err
		}
		return tx.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, n+more)).Scan(&n)
	}))
}

// TestConnectionEndsAtCommit ends a transaction of Postgres when it wants to commit (F-16): nothing of it happened.
func TestConnectionEndsAtCommit(t *testing.T) {
	h := newHub(t, dbtest.Postgres(t)(t), memory.New(memory.Options{}), local.Options{})
	h.exec(`CREATE FUNCTION die() RETURNS trigger AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$ LANGUAGE plpgsql`)
	for _, table := range []string{"blob_link", "tag"} {
		h.exec(`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON ` + table + ` DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`)
		p := tagged(manifest("config"), table)
		err := pushBlob(h.ctx, h, repo, []byte("config"))
		if table == "tag" {
			h.must(err)
			_, err = h.PutManifest(h.ctx, repo, p)
		}
		if !errors.Is(err, db.ErrUnavailable) {
			t.Fatalf("%s: want unavailable, got %v", table, err)
		}
		h.exec(`DROP TRIGGER die ON ` + table)
		if _, err := h.Manifest(h.ctx, repo, registry.Reference{Tag: table}, false); err == nil {
			t.Error("the tag is there")
		}
		h.audit()
		h.blobs(repo, "config")
		h.push(repo, p)
		h.audit()
	}
}

// TestCommitAnswerLost lets the answer to a commit get lost, which has then happened. An upload finds out; a manifest's
// client is told to try again, which changes nothing.
func TestCommitAnswerLost(t *testing.T) {
	p := newProxy(t, dbtest.PostgresURL(t))
	d, err := db.Open(t.Context(), p.address, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	h := newHub(t, d, memory.New(memory.Options{}), local.Options{})
	id := h.start(repo)
	h.add(repo, id, 0, "config")
	p.loseAnswer(`INSERT INTO blob_link`, bind)
	h.must(h.finish(repo, id, "config"))
	h.has(repo, "config")
	h.audit()

	image := tagged(manifest("config"), "latest")
	p.loseAnswer(`INSERT INTO manifest_link`, "commit")
	if _, err := h.PutManifest(h.ctx, repo, image); !errors.Is(err, db.ErrUnavailable) {
		t.Fatalf("want unavailable, got %v", err)
	}
	if h.hasTag(repo, "latest") != image.Digest {
		t.Error("the push had happened")
	}
	h.push(repo, image)
	h.audit()
	if p.mu.Lock(); p.lost != 2 {
		t.Errorf("%d answers were lost, want 2", p.lost)
	}
}

// proxy stands between the test and Postgres.
type proxy struct {
	address, server string

	mu   sync.Mutex
	lost int
	arm  []byte // a connection that sends this loses the answer to what commits it
	last string
}

// bind begins what the driver sends to run a statement that has been parsed.
const bind = "B\x00"

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{server: u.Host}
	u.Host = l.Addr().String()
	p.address = u.String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// loseAnswer is armed by a statement, because commits of others pass, too. last is what commits it: for a statement in a
// transaction of its own that is to run it.
func (p *proxy) loseAnswer(statement, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arm, p.last = []byte(statement), last
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer s.Close()
	var mu sync.Mutex
	armed, deaf := false, false
	go func() {
		defer s.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			if len(p.arm) > 0 && bytes.Contains(buf[:n], p.arm) {
				armed, p.arm = true, nil
			}
			last := p.last
			p.mu.Unlock()
			if armed && bytes.Contains(buf[:n], []byte(last)) {
				mu.Lock()
				deaf = true
				mu.Unlock()
			}
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		mu.Lock()
		lost := deaf
		mu.Unlock()
		if lost {
			p.mu.Lock()
			p.lost++
			p.mu.Unlock()
		}
		if err != nil || lost {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil && err != io.EOF {
			return
		}
	}
}
