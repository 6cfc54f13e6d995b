package gatekeeper_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestStatements compares the statements of reads through the gate with testdata: before anything else is pushed, and
// again after each of the loads, which change nothing. Run with -update after a change that was meant.
func TestStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t))
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		i := h.image(repo, "1", "one")
		h.sign(repo, i.digest, s)
		covered := h.image(repo, "covered", "covered")
		h.sign(repo, h.index(repo, "", covered.digest), s)

		got := h.reads(open, i)
		file := "testdata/statements." + string(h.db.Engine()) + ".txt"
		if *update {
			h.must(os.WriteFile(file, []byte(got), 0o600))
		}
		want, err := os.ReadFile(file)
		h.must(err)
		if got != string(want) {
			t.Fatalf("the statements of %s changed; run with -update if that is meant:\n%s", file, got)
		}
		for _, load := range []struct {
			name string
			push func()
		}{
			{"10,000 referrers", func() { h.referrers(i, s) }},
			{"a bundle of 16 MiB", func() {
				h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-2.3", "pad": strings.Repeat("x", 12<<20-2000)}))
			}},
			{"a layer of 10,000 manifests", func() { h.seed(h.images(i.layer)) }},
			{"10,000 indexes of one image", func() { h.seed(h.indexes(i.digest)); h.seed(h.indexes(covered.digest)) }},
		} {
			load.push()
			dbtest.Analyze(h, h.db)
			if got := h.reads(open, i); got != string(want) {
				t.Errorf("beside %s other statements run:\n%s", load.name, got)
			}
			h.bounded(i, s)
			after := h.again(open)
			after.readable(after.guest, i, "1", true)
			after.readable(after.guest, covered, "covered", true)
		}
	})
}

// again is the hub after a start: nothing is in memory but who asks, which is found out before the gate.
func (h *hub) again(open dbtest.Open) *hub {
	h.Helper()
	n := *h
	n.db = open(h)
	n.serve(h.blobs)
	_, _, err := access.NewGuard(n.dir).May(h.guest, core.PrincipalFrom(h.guest), core.ActionPull, repo)
	h.must(err)
	return &n
}

// reads runs reads by a guest and writes down what SQL each ran.
func (h *hub) reads(open dbtest.Open, i image) string {
	h.Helper()
	manifest := func(n *hub, ref registry.Reference) error {
		_, err := n.reg.Manifest(h.guest, repo, ref, false)
		return err
	}
	tag, byDigest := registry.Reference{Tag: "1"}, registry.Reference{Digest: i.digest}
	blob := func(n *hub) error {
		b, err := n.reg.Blob(h.guest, repo, i.layer)
		if err == nil {
			err = b.Content.Close()
		}
		return err
	}
	var out strings.Builder
	run := func(n *hub, name string, f func() error) {
		var r db.Recorder
		n.db.Record(&r)
		err := f()
		n.db.Record(nil)
		h.must(err)
		fmt.Fprintf(&out, "## %s\n", name)
		for _, q := range r.Take() {
			if !strings.Contains(q, "pg_snapshot_xmin") && !strings.Contains(q, "FROM change") { // the feed, beside it
				fmt.Fprintf(&out, "%s\n", spaces.ReplaceAllString(q, " "))
			}
		}
		out.WriteString("\n")
	}
	n := h.again(open)
	run(n, "manifest by tag, after a start", func() error { return manifest(n, tag) })
	run(n, "manifest by tag, warm", func() error { return manifest(n, tag) })
	run(n, "manifest by digest, warm", func() error { return manifest(n, byDigest) })
	run(n, "its layer, cold", func() error { return blob(n) })
	run(n, "its layer, warm", func() error { return blob(n) })
	h.must(n.db.Write(h.system, func(tx *db.Tx) error { tx.Changed(store.ChangeEvidence, repo); return nil }))
	run(n, "manifest by tag, after something was pushed", func() error { return manifest(n, tag) })
	h.must(n.db.Write(h.system, func(tx *db.Tx) error { tx.Changed(store.ChangeEvidence, repo); return nil }))
	run(n, "its layer, after something was pushed", func() error { return blob(n) })
	n = h.again(open)
	run(n, "manifest by digest, after a start", func() error { return manifest(n, byDigest) })
	n = h.again(open)
	run(n, "the layer alone, after a start", func() error { return blob(n) })
	return out.String()
}

var spaces = regexp.MustCompile(`\s+`)

// pushed is a manifest with its bytes, and what it refers to.
type pushed struct {
	mediaType string
	payload   []byte
	subject   digest.Digest
	targets   map[digest.Digest]string // to the kind
}

func (p *pushed) digest() string { return string(digest.FromBytes(p.payload)) }

// images have a layer in common, and else nothing.
func (h *hub) images(layer digest.Digest) []pushed {
	config := h.blob(repo, []byte(`{"architecture":"amd64","os":"linux"}`))
	all := make([]pushed, many)
	for n := range all {
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: as(ocispec.MediaTypeImageConfig, config),
			Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: 1}}, Annotations: map[string]string{"n": strconv.Itoa(n)}}
		all[n] = pushed{m.MediaType, h.json(m), "", map[digest.Digest]string{config.Digest: "blob", layer: "blob"}}
	}
	return all
}

// indexes list one manifest.
func (h *hub) indexes(child digest.Digest) []pushed {
	all := make([]pushed, many)
	for n := range all {
		m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: map[string]string{"n": strconv.Itoa(n)},
			Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: child, Size: 1}}}
		all[n] = pushed{m.MediaType, h.json(m), "", map[digest.Digest]string{child: "manifest"}}
	}
	return all
}

func (h *hub) json(v any) []byte {
	h.Helper()
	b, err := json.Marshal(v)
	h.must(err)
	return b
}

// referrers are junk, and attestations by the key that also signed the image, all of them newer than its signature. Those
// of others are owed.
func (h *hub) referrers(i image, s *signertest.Signer) {
	h.Helper()
	found, err := h.store.Evidence(h.Context(), repo, string(i.digest))
	h.must(err)
	signer := found.Own[0].Signer
	all, evidence := make([]pushed, many), make([][]any, many)
	for n := range all {
		all[n] = pushed{ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"referrer":%d}`, n), i.digest, nil}
		e := core.Evidence{Subject: string(i.digest), Carrier: all[n].digest(), Kind: core.EvidenceAttestation, PredicateType: "https://house.example/scan"}
		filed := ""
		if n%2 == 0 {
			e.Signer, filed = signer, signer.Key+" scans"
		} else {
			e.Kind = core.EvidenceUnreadable
		}
		evidence[n] = []any{e.Carrier, n, e.Subject, filed, string(h.json(e)), 1 << 40, h.db.Micros() + int64(n)}
	}
	h.seed(all)
	h.fill(`INSERT INTO evidence (repository_id, carrier, item, subject, signer, facts, trust, created_at)`, 7, evidence)
	h.exec(`INSERT INTO evidence_owed (repository_id, carrier, subject, due_at) SELECT repository_id, digest, 'sha256:other', 1 FROM manifest_link WHERE subject = $1`, string(i.digest))
}

// seed puts manifests into the repository, as many pushes do.
func (h *hub) seed(all []pushed) {
	h.Helper()
	var manifests, links, references [][]any
	at := h.db.Micros()
	for n := range all {
		p, d := &all[n], all[n].digest()
		var subject any
		if p.subject != "" {
			subject = string(p.subject)
		}
		manifests = append(manifests, []any{d, p.mediaType, len(p.payload), p.payload, subject, at})
		links = append(links, []any{d, subject, 0, at + int64(n), "user:1"})
		for target, kind := range p.targets {
			references = append(references, []any{d, string(target), kind})
		}
	}
	h.fill(`INSERT INTO manifest (digest, media_type, size, payload, subject, created_at)`, 6, manifests)
	h.fill(`INSERT INTO manifest_link (repository_id, digest, subject, leased_until, pushed_at, pushed_by)`, 5, links)
	h.fill(`INSERT INTO manifest_reference (manifest, target, kind)`, 3, references)
	h.exec(`INSERT INTO repository_reference (repository_id, manifest, target, kind, place)
		SELECT l.repository_id, m.manifest, m.target, m.kind, l.pushed_at FROM manifest_link l JOIN manifest_reference m ON m.manifest = l.digest
		WHERE TRUE ON CONFLICT (repository_id, manifest, target, kind) DO NOTHING`)
}

// fill inserts rows, many in one statement. Where a repository's id comes first it is put in.
func (h *hub) fill(insert string, columns int, rows [][]any) {
	h.Helper()
	const most = 40
	id := ""
	if strings.Contains(insert, "repository_id") {
		id = `(SELECT id FROM repository WHERE name = '` + repo + `'), `
	}
	h.must(h.db.Write(h.system, func(tx *db.Tx) error {
		if err := dbtest.Unhurried(h.db, tx); err != nil {
			return err
		}
		for from := 0; from < len(rows); from += most {
			var text bytes.Buffer
			var args []any
			text.WriteString(insert + " VALUES ")
			for n, row := range rows[from:min(from+most, len(rows))] {
				if n > 0 {
					text.WriteString(", ")
				}
				text.WriteString("(" + id)
				for c := range columns {
					if c > 0 {
						text.WriteString(", ")
					}
					text.WriteString("$" + strconv.Itoa(len(args)+c+1))
				}
				text.WriteString(")")
				args = append(args, row...)
			}
			if _, err := tx.Exec(text.String(), args...); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (h *hub) exec(query string, args ...any) {
	h.Helper()
	h.must(h.db.Write(h.system, func(tx *db.Tx) error {
		if err := dbtest.Unhurried(h.db, tx); err != nil {
			return err
		}
		_, err := tx.Exec(query, args...)
		return err
	}))
}
