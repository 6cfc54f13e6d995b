package store_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

var update = flag.Bool("update", false, "write testdata anew")

const predicateSPDX = "https://spdx.dev/Document"

func golang(name, version string) core.Package {
	i := strings.LastIndexByte(name, '/')
	return core.Package{Type: "golang", Namespace: name[:i], Name: name[i+1:], Version: version, Licences: "BSD-3-Clause"}
}

// document saves a document of these packages.
func (h *hub) document(name string, packages ...core.Package) int64 {
	h.t.Helper()
	id, err := h.SaveDocument(h.admin, store.SBOMDocument{Digest: "sha256:" + name, Format: "spdx", Version: "2.3"}, packages)
	h.ok(err)
	return id
}

// attest makes a manifest say that a document is about a digest of p/repository.
func (h *hub) attest(p *core.Project, repository, carrier, subject string, source core.SBOMSource, document int64) {
	h.t.Helper()
	h.push(p, repository, carrier, int64(1000+document))
	e := core.Evidence{Subject: subject, Carrier: carrier, Content: "sha256:content", Kind: core.EvidenceAttestation, PredicateType: predicateSPDX}
	if source == core.SBOMAttested {
		e.Signer = &core.Signer{Key: "sha256:key"}
	}
	name := p.Name + "/" + repository
	h.ok(h.SaveEvidence(h.admin, name, carrier, []core.Evidence{e}, anybody, 1))
	h.ok(h.ListDocument(h.admin, p, source, document))
	h.ok(h.SaveSBOMs(h.admin, name, carrier, []store.SBOM{{Carrier: carrier, Subject: subject, Source: source, Document: document, Content: e.Content}}))
}

// search is all that somebody finds, in pages of n: repository@digest version.
func (h *hub) search(p *core.Principal, q core.Package, version *string, n int, sources ...core.SBOMSource) string {
	h.t.Helper()
	ctx := context.Background()
	id, versionID, err := h.PackageIDs(ctx, q, version)
	h.ok(err)
	query := store.PackageQuery{Package: id, Sources: sources}
	if version != nil {
		query.Version = &versionID
	}
	var out []string
	for first, more := int64(0), true; more; {
		var scopes []store.PackageScope
		scopes, more, err = h.PackageScopes(ctx, p, query, first, n)
		h.ok(err)
		for _, s := range scopes {
			first = s.ID + 1
			var after store.UsePosition
			for more := true; more; {
				var uses []*store.PackageUse
				uses, more, err = h.PackageUses(ctx, query, s, after, n)
				h.ok(err)
				for _, u := range uses {
					after = u.UsePosition
					out = append(out, u.RepositoryName+"@"+strings.TrimPrefix(u.Subject, "sha256:")+" "+u.Number)
				}
			}
		}
	}
	return strings.Join(out, ", ")
}

func (h *hub) count(table string) (n int) {
	h.t.Helper()
	h.ok(h.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM `+table).Scan(&n))
	return n
}

func TestPackages(t *testing.T) {
	eachHub(t, func(h *hub) {
		text, zlib := golang("golang.org/x/text", "v0.14.0"), core.Package{Type: "deb", Namespace: "debian", Name: "zlib1g", Version: "1.2", Rest: "?arch=amd64"}
		old := golang("golang.org/x/text", "v0.3.0")
		first, second, empty := h.document("a", zlib, text), h.document("b", old), h.document("c")
		if again := h.document("a"); again != first {
			t.Errorf("the same document is %d and %d", first, again)
		}
		open, secret := h.project(h.admin, "open", core.Public), h.project(h.admin, "secret", core.Private)
		h.attest(open, "app", "sha256:att1", "sha256:img1", core.SBOMAttested, first)
		h.attest(open, "app", "sha256:att2", "sha256:img2", core.SBOMAttested, second)
		h.attest(open, "app", "sha256:att0", "sha256:img0", core.SBOMAttested, empty)
		h.attest(secret, "app", "sha256:att1", "sha256:img1", core.SBOMAttested, first)
		h.attest(open, "lib", "sha256:bare", "sha256:img3", core.SBOMUnsigned, first)
		// Another tag of the same, and a copy in another repository: nothing is listed twice.
		before := h.count("package_use")
		h.attest(open, "copy", "sha256:att1", "sha256:img1", core.SBOMAttested, first)
		h.attest(open, "app", "sha256:again", "sha256:img1", core.SBOMAttested, first)
		if after := h.count("package_use"); after != before || before != 2+1+2+2 {
			t.Errorf("%d rows, and %d after a copy", before, after)
		}
		h.push(secret, "app", "sha256:img1", 1, "1.0")

		alice := h.user("alice", false)
		stranger := core.PrincipalFrom(h.signIn(alice))
		admin := core.PrincipalFrom(h.admin)
		version := func(v string) *string { return &v }
		for _, n := range []int{1, 2, 50} {
			for _, c := range []struct {
				who     *core.Principal
				q       core.Package
				version *string
				sources []core.SBOMSource
				want    string
			}{
				{core.Anonymous(), text, nil, []core.SBOMSource{core.SBOMAttested}, "open/app@img1 v0.14.0, open/app@img1 v0.14.0, open/copy@img1 v0.14.0, open/app@img2 v0.3.0"},
				{stranger, text, version("v0.3.0"), []core.SBOMSource{core.SBOMAttested}, "open/app@img2 v0.3.0"},
				{stranger, text, version("v9"), []core.SBOMSource{core.SBOMAttested}, ""},
				{stranger, golang("golang.org/x/no", ""), nil, []core.SBOMSource{core.SBOMAttested}, ""},
				{stranger, text, version("v0.14.0"), []core.SBOMSource{core.SBOMUnsigned}, "open/lib@img3 v0.14.0"},
				{stranger, zlib, nil, []core.SBOMSource{core.SBOMScanned}, ""},
				{admin, zlib, nil, []core.SBOMSource{core.SBOMAttested}, "open/app@img1 1.2, open/app@img1 1.2, open/copy@img1 1.2, secret/app@img1 1.2"},
			} {
				if got := h.search(c.who, c.q, c.version, n, c.sources...); got != c.want {
					t.Errorf("pages of %d, %s %v: %q, want %q", n, c.q.Name, c.sources, got, c.want)
				}
			}
		}
		if _, _, err := h.PutMember(h.admin, secret, "alice", core.RoleGuest, 0); err != nil {
			t.Fatal(err)
		}
		if got := h.search(stranger, zlib, nil, 50, core.SBOMAttested); !strings.Contains(got, "secret/app@img1") {
			t.Errorf("a guest finds %q", got)
		}

		list, err := h.PackageEntries(h.admin, first)
		h.ok(err)
		named, err := h.Named(h.admin, list)
		h.ok(err)
		if len(named) != 2 || named[0] != zlib || named[1] != text {
			t.Errorf("%+v", named)
		}
		stored, err := h.SBOMs(h.admin, "open/app", []string{"sha256:img1", "sha256:no"}, 10)
		h.ok(err)
		if len(stored) != 2 || stored[0].Packages != 2 || stored[0].Evidence == nil || stored[0].Evidence.Signer.Key != "sha256:key" || stored[0].Digest != "sha256:a" {
			t.Errorf("%+v", stored)
		}
		// V-37: newer ones that nobody signed bury none.
		for i := range 3 {
			h.attest(open, "app", fmt.Sprintf("sha256:bare%d", i), "sha256:img2", core.SBOMUnsigned, first)
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE sbom SET created_at = 9999 WHERE document_id = $1`, first)
				return err
			}))
		}
		if stored, err = h.SBOMs(h.admin, "open/app", []string{"sha256:img2"}, 1); err != nil || len(stored) != 1 || stored[0].Source != core.SBOMAttested {
			t.Errorf("%+v %v", stored, err)
		}
		h.places(open, secret)
	})
}

// places: tags of an artifact's own, and those of indexes; who pulled it.
func (h *hub) places(open, secret *core.Project) {
	h.t.Helper()
	ctx := context.Background()
	h.push(open, "app", "sha256:img1", 1)
	h.push(open, "app", "sha256:index", 1, "latest", "2.0")
	h.ok(h.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO manifest_reference (manifest, target, kind) VALUES ('sha256:index', 'sha256:img1', 'manifest')`)
		return err
	}))
	now := h.Now()
	_, err := h.AddPulls(ctx, []store.Pull{{Repository: "open/app", Digest: "sha256:img1", Principal: "anonymous:", Pulls: 2, LastAt: now},
		{Repository: "open/app", Digest: "sha256:img1", Tag: "2.0", Principal: core.PrincipalFrom(h.admin).Actor(), Pulls: 5, LastAt: now},
		{Repository: "open/app", Digest: "sha256:img1", Principal: "user:old", Pulls: 9, LastAt: now.Add(-100 * 24 * time.Hour)}})
	h.ok(err)
	var places []store.Place
	h.ok(h.db.Query(ctx, `SELECT id FROM repository WHERE name IN ('open/app', 'secret/app') ORDER BY name`, nil, func(row func(...any) error) error {
		p := store.Place{Digest: "sha256:img1"}
		err := row(&p.RepositoryID)
		places = append(places, p)
		return err
	}))
	tags, err := h.PlaceTags(ctx, places, 10)
	h.ok(err)
	if got := fmt.Sprint(tags[places[0]], tags[places[1]]); got != "[2.0 latest] [1.0]" {
		h.t.Errorf("tags %s of %s, %s", got, open.Name, secret.Name)
	}
	if tags, err = h.PlaceTags(ctx, places, 1); err != nil || len(tags[places[0]]) != 1 {
		h.t.Errorf("%v %v", tags, err)
	}
	pulls, err := h.PlacePulls(ctx, places, now.Add(-90*24*time.Hour), 10)
	h.ok(err)
	if got := pulls[places[0]]; len(got) != 2 || got[0].Principal != "root" || got[0].Pulls != 5 || got[1].Principal != "anonymous:" || got[0].LastAt.IsZero() || len(pulls) != 1 {
		h.t.Errorf("%+v", pulls)
	}
}

// The packages of a document go when nothing brings it any more, after a while; and not before, and not those of others.
func TestSweepPackages(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		both, one := h.document("a", golang("golang.org/x/text", "v1")), h.document("b", golang("golang.org/x/text", "v2"))
		h.attest(p, "app", "sha256:att1", "sha256:img", core.SBOMAttested, both)
		h.attest(p, "app", "sha256:att2", "sha256:img", core.SBOMAttested, one)
		exec := func(query string) {
			t.Helper()
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error { _, err := tx.Exec(query); return err }))
		}
		sweep := func(want int) {
			t.Helper()
			n, err := h.SweepPackages(h.admin)
			if h.ok(err); n != want {
				t.Fatalf("%d removed, want %d", n, want)
			}
		}
		exec(`DELETE FROM manifest_link WHERE digest = 'sha256:att2'`)
		if got := h.search(core.PrincipalFrom(h.admin), golang("golang.org/x/text", ""), nil, 50, core.SBOMAttested); got != "team/app@img v1" {
			t.Errorf("what is deleted is found: %q", got)
		}
		sweep(0)
		exec(`UPDATE package_listed SET touched_at = touched_at - 3600000001`)
		exec(`UPDATE sbom_document SET created_at = created_at - 3600000001`)
		sweep(2) // the list, and the document
		sweep(0)
		if h.count("package_use") != 1 || h.count("sbom_document") != 1 || h.count("package_listed") != 1 {
			t.Error("another document went too, or something is left")
		}
		// It comes back: it is another row, and found again.
		again := h.document("b", golang("golang.org/x/text", "v2"))
		h.attest(p, "app", "sha256:att2", "sha256:img", core.SBOMAttested, again)
		if got := h.search(core.PrincipalFrom(h.admin), golang("golang.org/x/text", ""), nil, 50, core.SBOMAttested); got != "team/app@img v1, team/app@img v2" {
			t.Errorf("%q", got)
		}
		// While somebody lists or removes, nobody else does; after a while that is taken to have been given up.
		exec(fmt.Sprintf(`UPDATE package_listed SET complete = FALSE, touched_at = %d`, h.db.Micros()))
		if err := h.ListDocument(h.admin, p, core.SBOMAttested, both); err == nil {
			t.Error("two list the same document")
		}
		if err := h.SaveSBOMs(h.admin, "team/app", "sha256:att1", []store.SBOM{{Subject: "sha256:img", Source: core.SBOMAttested, Document: both}}); err == nil {
			t.Error("a document is named that is not listed")
		}
		exec(`UPDATE package_listed SET touched_at = touched_at - 600000001`)
		h.ok(h.ListDocument(h.admin, p, core.SBOMAttested, both))
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:gone", nil)) // nothing is written
	})
}

// A document of many packages is listed in several short transactions.
func TestManyPackages(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		var all []core.Package
		for i := range 1001 {
			all = append(all, golang(fmt.Sprintf("example.org/p%04d", i), "v1"))
		}
		id := h.document("many", all...)
		h.ok(h.ListDocument(h.admin, p, core.SBOMAttested, id))
		list, err := h.PackageEntries(h.admin, id)
		h.ok(err)
		named, err := h.Named(h.admin, list)
		h.ok(err)
		if len(named) != len(all) || named[1000] != all[1000] || h.count("package_use") != len(all) {
			t.Errorf("%d named, %d rows", len(named), h.count("package_use"))
		}
	})
}

// What is owed is taken once, and again later; reading evidence anew owes it anew.
func TestSBOMsOwed(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		for carrier, all := range map[string][]core.Evidence{"sha256:sig": {{Kind: core.EvidenceSignature, PredicateType: core.PredicateSignature}},
			"sha256:sbom": {{Kind: core.EvidenceAttestation, PredicateType: "https://cyclonedx.org/bom/v1.6"}}, "sha256:bare": nil} {
			h.push(p, "app", carrier, 1)
			h.ok(h.SaveEvidence(h.admin, "team/app", carrier, all, anybody, 1))
		}
		owed := func(want int) {
			t.Helper()
			all, err := h.SBOMsOwed(h.admin, 10)
			if h.ok(err); len(all) != want {
				t.Fatalf("%+v, want %d", all, want)
			}
		}
		owed(2)
		owed(0)
		h.ok(h.SaveEvidence(h.admin, "team/app", "sha256:sbom", []core.Evidence{{Kind: core.EvidenceAttestation, PredicateType: predicateSPDX}}, anybody, 2))
		owed(1)
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:sbom", nil))
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:bare", nil))
		if h.count("sbom_owed") != 0 {
			t.Error("something is owed still")
		}
	})
}

var spaces = regexp.MustCompile(`\s+`)

// The statements of a search, and how they are run: from the key of package_use, in its order.
func TestPackageStatements(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.attest(p, "app", "sha256:att", "sha256:img", core.SBOMAttested, h.document("a", golang("golang.org/x/text", "v1")))
		h.ok(h.ListDocument(h.admin, p, core.SBOMScanned, h.document("a")))
		var r db.Recorder
		h.db.Record(&r)
		v := "v1"
		h.search(core.PrincipalFrom(h.signIn(&store.Account{ID: "nobody", Username: "nobody"})), golang("golang.org/x/text", ""), &v, 50, core.SBOMAttested)
		stranger := len(r.Take())
		h.search(core.PrincipalFrom(h.signIn(&store.Account{ID: "nobody", Username: "nobody"})), golang("golang.org/x/none", ""), &v, 50, core.SBOMAttested)
		if none := len(r.Take()); none != stranger {
			t.Errorf("%d statements for what is hidden, %d for what is not there", stranger, none)
		}
		h.search(core.PrincipalFrom(h.admin), golang("golang.org/x/text", ""), nil, 50, core.SBOMAttested)
		h.search(core.PrincipalFrom(h.admin), golang("golang.org/x/text", ""), &v, 50, core.SBOMAttested)
		h.search(core.PrincipalFrom(h.admin), golang("golang.org/x/text", ""), nil, 50, core.SBOMScanned)
		h.db.Record(nil)
		var texts []string
		for _, q := range r.Take() {
			if !strings.Contains(q, "pg_snapshot_xmin") && !strings.Contains(q, "FROM change") { // the feed, beside it
				texts = append(texts, q)
			}
		}
		got := spaces.ReplaceAllString(strings.Join(texts, "\x00"), " ")
		got = strings.ReplaceAll(got, "\x00", "\n") + "\n"
		const file = "testdata/packages.txt"
		if *update {
			h.ok(os.WriteFile(file, []byte(got), 0o600))
		}
		want, err := os.ReadFile(file)
		if h.ok(err); got != string(want) {
			t.Errorf("the statements changed; run with -update if that is meant:\n%s", got)
		}
		for _, text := range texts {
			if strings.Contains(text, "FROM package_use u JOIN") {
				h.planned(text)
			}
		}
	})
}

// Tags and pulls of a page are looked up, and not searched for among all there are.
func TestPlacePlans(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		for i := range 100 {
			h.push(team, "app", fmt.Sprintf("sha256:%03d", i), 1, fmt.Sprintf("v%03d", i))
		}
		dbtest.Analyze(t, h.db)
		var r db.Recorder
		h.db.Record(&r)
		places := []store.Place{{RepositoryID: "a", Digest: "b"}, {RepositoryID: "c", Digest: "d"}}
		_, err := h.PlaceTags(h.admin, places, 20)
		h.ok(err)
		_, err = h.PlacePulls(h.admin, places, h.Now(), 20)
		h.ok(err)
		h.db.Record(nil)
		plans := 0
		for _, text := range r.Take() {
			args := []any{"a", "b", "c", "d", 20}
			switch {
			case strings.Contains(text, "JOIN pull u"):
				args = append(args, 20)
			case !strings.Contains(text, "JOIN tag t"):
				continue
			}
			plans++
			plan := strings.Join(h.plan(text, args...), "\n")
			for _, bad := range []string{"Seq Scan", "SCAN t", "SCAN u", "SCAN m", "AUTOMATIC"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s:\n%s", bad, plan)
				}
			}
		}
		if plans != 2 {
			t.Errorf("%d statements were looked at", plans)
		}
	})
}

func (h *hub) planned(query string) {
	h.t.Helper()
	args := make([]any, strings.Count(query, "$"))
	for i := range args {
		args[i] = 1
		for _, text := range []string{"s.repository_id, s.subject, s.carrier, s.item) > "} {
			if at := strings.Index(query, text); at > 0 {
				first := strings.Count(query[:at], "$") + 2
				if i >= first && i < first+3 {
					args[i] = ""
				}
			}
		}
	}
	plan := strings.Join(h.plan(query, args...), "\n")
	for _, bad := range []string{"Seq Scan", "SCAN u", "USE TEMP B-TREE FOR ORDER BY"} {
		if strings.Contains(plan, bad) {
			h.t.Errorf("%s:\n%s", bad, plan)
		}
	}
	if !strings.Contains(plan, "package_use_pkey") && !strings.Contains(plan, "SEARCH u USING PRIMARY KEY (package_id=? AND scope=? AND") {
		h.t.Errorf("it is not read from the key:\n%s", plan)
	}
}

// plan is how the engine would run a query. Postgres is told that the tables are not as small as they are.
func (h *hub) plan(query string, args ...any) (lines []string) {
	h.t.Helper()
	if h.db.Engine() == db.Postgres {
		h.ok(h.db.Write(context.Background(), func(tx *db.Tx) error {
			for _, off := range []string{"seqscan", "bitmapscan", "hashjoin", "mergejoin"} {
				if _, err := tx.Exec(`SET LOCAL enable_` + off + ` = off`); err != nil {
					return err
				}
			}
			return tx.Query(`EXPLAIN `+query, args, func(scan func(...any) error) error {
				var line string
				err := scan(&line)
				lines = append(lines, line)
				return err
			})
		}))
		return lines
	}
	h.ok(h.db.Query(context.Background(), `EXPLAIN QUERY PLAN `+query, args, func(scan func(...any) error) error {
		var id, parent, unused int
		var line string
		err := scan(&id, &parent, &unused, &line)
		lines = append(lines, line)
		return err
	}))
	return lines
}
