package local_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/local"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestStatements compares the statements that each request runs with testdata: a pull that grows a query shows in the
// diff. Run with -update after a change that was meant.
func TestStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, openDB dbtest.Open) {
		d := openDB(t)
		got := statements(t, d)
		file := "testdata/statements." + string(d.Engine()) + ".txt"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("the statements of %s changed; run with -update if that is meant:\n%s", file, got)
		}
	})
}

// statements runs one request after another and writes down what SQL each ran.
func statements(t *testing.T, d *db.DB) string {
	ctx := as(context.Background(), "alice")
	l := open(t, d, openDisk(t), local.Options{})
	const repo = "p1/app"
	config, layer := []byte(`{}`), bytes.Repeat([]byte("x"), smallBlob+1)
	manifest := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}]}`,
		digest.FromBytes(config), digest.FromBytes(layer), len(layer)))
	put := registry.ManifestPut{MediaType: "application/vnd.oci.image.manifest.v1+json", Payload: manifest, Tags: []string{"1.0"}}
	tag := registry.Reference{Tag: "1.0"}
	var upload string
	steps := []struct {
		name string
		run  func() error
	}{
		{"HEAD blob that is not there", func() error { return wantUnknown(l.StatBlob(ctx, repo, digest.FromBytes(layer), true)) }},
		{"POST upload", func() error { u, err := l.StartUpload(ctx, repo, ""); upload = u.ID; return err }},
		{"PATCH upload", func() error { _, err := l.AppendUpload(ctx, repo, upload, 0, bytes.NewReader(layer)); return err }},
		{"PUT upload", func() error {
			_, err := l.FinishUpload(ctx, repo, upload, -1, nil, digest.FromBytes(layer))
			return err
		}},
		{"HEAD blob after a push", func() error { _, err := l.StatBlob(ctx, repo, digest.FromBytes(layer), true); return err }},
		{"(the config)", func() error { return pushBlob(ctx, l, repo, config) }},
		{"PUT manifest", func() error { _, err := l.PutManifest(ctx, repo, put); return err }},
		{"PUT the same manifest with another tag", func() error { put.Tags = []string{"1.1"}; _, err := l.PutManifest(ctx, repo, put); return err }},
		{"GET manifest by tag, cold", func() error { _, err := l.Manifest(ctx, repo, tag, true); return err }},
		{"GET manifest by tag, warm", func() error { _, err := l.Manifest(ctx, repo, tag, true); return err }},
		{"GET manifest by digest, warm", func() error {
			_, err := l.Manifest(ctx, repo, registry.Reference{Digest: digest.FromBytes(manifest)}, true)
			return err
		}},
		{"GET blob, warm", func() error { return readBlob(l.Blob(ctx, repo, digest.FromBytes(layer))) }},
		{"GET small blob, cold", func() error { return readBlob(l.Blob(ctx, repo, digest.FromBytes(config))) }},
		{"GET small blob, warm", func() error { return readBlob(l.Blob(ctx, repo, digest.FromBytes(config))) }},
		{"mount", func() error {
			_, err := l.MountBlob(ctx, "p2/other", digest.FromBytes(layer), registry.MountSource{Repository: repo, Allowed: func(context.Context, string) bool { return true }})
			return err
		}},
		{"tags", func() error { _, err := l.Tags(ctx, repo, "", 100); return err }},
		{"catalog", func() error { _, err := l.Repositories(ctx, registry.RepositoryQuery{N: 100, All: true}); return err }},
		{"catalog of one who sees one project", func() error {
			_, err := l.Repositories(ctx, registry.RepositoryQuery{N: 100, Public: true, Projects: []string{"p1"}})
			return err
		}},
		{"catalog of one who sees some", func() error {
			_, err := l.Repositories(ctx, registry.RepositoryQuery{N: 100, Public: true, Projects: []string{"p1", "p2"}})
			return err
		}},
		{"referrers", func() error {
			_, err := l.Referrers(ctx, repo, digest.FromBytes(manifest), registry.ReferrerQuery{})
			return err
		}},
		{"DELETE tag", func() error { return l.DeleteTag(ctx, repo, "1.1") }},
		{"DELETE manifest", func() error { return l.DeleteManifest(ctx, repo, digest.FromBytes(manifest)) }},
		{"DELETE blob", func() error { return l.DeleteBlob(ctx, repo, digest.FromBytes(layer)) }},
	}
	r := &db.Recorder{}
	d.Record(r)
	defer d.Record(nil)
	var out strings.Builder
	for _, s := range steps {
		r.Take()
		if err := s.run(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		fmt.Fprintf(&out, "## %s\n", s.name)
		for _, q := range r.Take() {
			if !strings.Contains(q, "pg_snapshot_xmin") && !strings.Contains(q, "FROM change") { // the feed, beside it
				fmt.Fprintf(&out, "%s\n", spaces.ReplaceAllString(q, " "))
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

var spaces = regexp.MustCompile(`\s+`)

// smallBlob is the size up to which contents are kept in memory.
const smallBlob = 64 << 10

func wantUnknown(_ int64, err error) error {
	if c := registry.CodeOf(err); c != registry.CodeBlobUnknown && c != registry.CodeNameUnknown {
		return fmt.Errorf("want unknown, got %w", err)
	}
	return nil
}

func pushBlob(ctx context.Context, l registry.Registry, repo string, b []byte) error {
	u, err := l.StartUpload(ctx, repo, "")
	if err != nil {
		return err
	}
	_, err = l.FinishUpload(ctx, repo, u.ID, 0, bytes.NewReader(b), digest.FromBytes(b))
	return err
}

func readBlob(b *registry.Blob, err error) error {
	if err != nil {
		return err
	}
	return b.Content.Close()
}
