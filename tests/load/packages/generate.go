package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// What is generated: each artifact has the common packages, and of each further slot one of twenty; each in one of twenty versions.
// Every second project is private.
const (
	slots    = 300
	common   = 50
	choices  = 20
	versions = 20
	projects = 20
	packages = common + (slots-common)*choices
)

type generator struct {
	ctx       context.Context
	db        *db.DB
	store     *store.Store
	artifacts int
	member    string // id of an account that is a guest of a private project
	signer    core.Signer
}

// rare is a package that one artifact alone has, which lies in a private project.
func (g *generator) rare() int { return packages + 1 }

func packageOf(n int) core.Package {
	return core.Package{Type: "golang", Namespace: "example.org/modules", Name: fmt.Sprintf("p%05d", n)}
}

// Which package an artifact has in a slot, and its version. All ids count from 1.
func packageIn(artifact, slot int) int {
	if slot < common {
		return slot + 1
	}
	return common + (slot-common)*choices + (artifact*7+slot*13)%choices + 1
}

func versionIn(artifact, pkg int) int    { return (pkg-1)*versions + (artifact*31/7+pkg*17)%versions + 1 }
func scopeOf(artifact int) int           { return artifact/7%projects + 1 }
func digestOf(kind string, n int) string { return fmt.Sprintf("sha256:%s%056x", kind, n) }

func (g *generator) fill() error {
	for _, step := range []func() error{g.people, g.names, g.contents, g.uses, g.analyze} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// people are projects, a guest, and a key for the whole hub.
func (g *generator) people() error {
	a, err := g.store.CreateAccount(g.ctx, store.NewAccount{Username: "gus", PasswordHash: "hash"})
	if err != nil {
		return err
	}
	g.member = a.ID
	key := signertest.New()
	document, err := (&gatekeeper.Authority{PublicKey: key.PEM}).Document()
	if err != nil {
		return err
	}
	if g.signer.Key, err = trust.Fingerprint([]byte(key.PEM)); err != nil {
		return err
	}
	if _, _, err := g.store.PutTrustDocument(g.ctx, nil, store.TrustAuthority, "ci", document, 0); err != nil {
		return err
	}
	for i := range projects {
		p, err := g.store.CreateProject(g.ctx, store.NewProject{Name: fmt.Sprintf("project%02d", i), Visibility: []core.Visibility{core.Private, core.Public}[i%2]})
		if err != nil {
			return err
		}
		if i == 0 {
			if _, _, err := g.store.PutMember(g.ctx, p, "gus", core.RoleGuest, 0); err != nil {
				return err
			}
		}
		if err := g.insert(`package_scope (id, project_id, source)`, 1, func(int) []any { return []any{i + 1, p.ID, "attestation"} }); err != nil {
			return err
		}
		const repositories = 250
		err = g.insert(`repository (id, project_id, name, pushed_at, created_at, updated_at)`, repositories, func(r int) []any {
			return []any{repository(i+1, r), p.ID, fmt.Sprintf("%s/app%03d", p.Name, r), 1, 1, 1}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func repository(scope, n int) string   { return fmt.Sprintf("repository-%02d-%03d", scope, n) }
func repositoryOf(artifact int) string { return repository(scopeOf(artifact), artifact/7/projects%250) }

func (g *generator) names() error {
	err := g.insert(`package (id, type, namespace, name)`, packages+1, func(i int) []any {
		p := packageOf(i + 1)
		return []any{i + 1, p.Type, p.Namespace, p.Name}
	})
	if err != nil {
		return err
	}
	err = g.insert(`package_version (id, package_id, version)`, packages*versions+1, func(i int) []any {
		return []any{i + 1, i/versions + 1, fmt.Sprintf("v%d", i%versions)}
	})
	if err != nil {
		return err
	}
	return g.insert(`package_note (id, rest, licences)`, 1, func(int) []any { return []any{1, "", "MIT"} })
}

// contents are images with a tag, attestations about them, and documents.
func (g *generator) contents() error {
	for _, kind := range []string{"00000001", "00000002"} {
		err := g.insert(`manifest (digest, media_type, size, payload, created_at)`, g.artifacts, func(i int) []any {
			return []any{digestOf(kind, i), "application/vnd.oci.image.manifest.v1+json", 2, []byte("{}"), 1}
		})
		if err != nil {
			return err
		}
		err = g.insert(`manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by)`, g.artifacts, func(i int) []any {
			return []any{repositoryOf(i), digestOf(kind, i), 0, i, "user:1"}
		})
		if err != nil {
			return err
		}
	}
	image, carrier := "00000001", "00000002"
	tables := []struct {
		into string
		row  func(i int) []any
	}{
		{`tag (repository_id, name, digest, created_at, updated_at, updated_by)`, func(i int) []any {
			return []any{repositoryOf(i), fmt.Sprintf("v%d", i), digestOf(image, i), 1, 1, "user:1"}
		}},
		{`evidence (repository_id, carrier, item, subject, signer, facts, trust, created_at)`, func(i int) []any {
			facts, _ := json.Marshal(core.Evidence{Subject: digestOf(image, i), Carrier: digestOf(carrier, i), Content: digestOf("00000003", i), Size: 50_000,
				Format: core.FormatBundle, Kind: core.EvidenceAttestation, PredicateType: "https://spdx.dev/Document", Signer: &g.signer})
			return []any{repositoryOf(i), digestOf(carrier, i), 0, digestOf(image, i), g.signer.Key, string(facts), 1, i}
		}},
		{`sbom_document (id, digest, format, version, packages, unnamed, list, problem, created_at)`, func(i int) []any {
			var list []byte
			for slot := range slots {
				list = binary.AppendUvarint(binary.AppendUvarint(list, uint64(versionIn(i, packageIn(i, slot)))), 1)
			}
			return []any{i + 1, digestOf("00000004", i), "spdx", "2.3", slots, 0, list, "", 1}
		}},
		{`package_listed (scope, document_id, complete, touched_at)`, func(i int) []any { return []any{scopeOf(i), i + 1, true, 1} }},
		{`sbom (repository_id, carrier, item, subject, scope, document_id, content, created_at)`, func(i int) []any {
			return []any{repositoryOf(i), digestOf(carrier, i), 0, digestOf(image, i), scopeOf(i), i + 1, digestOf("00000003", i), i}
		}},
	}
	for _, t := range tables {
		if err := g.insert(t.into, g.artifacts, t.row); err != nil {
			return err
		}
	}
	return nil
}

// uses are the rows of package_use, in the order of their key, made by the engine: too many to be sent.
func (g *generator) uses() error {
	if g.db.Engine() == db.Postgres {
		if err := g.exec(`ALTER TABLE package_use DROP CONSTRAINT package_use_pkey`); err != nil {
			return err
		}
	}
	const insert = `INSERT INTO package_use (package_id, scope, version_id, document_id) `
	for pkg := 1; pkg <= packages; pkg++ {
		first, step := 0, 1
		if pkg > common {
			step = choices
			slot := common + (pkg-common-1)/choices
			for packageIn(first, slot) != pkg {
				first++
			}
		}
		err := g.exec(fmt.Sprintf(`WITH RECURSIVE a (n) AS (SELECT %d UNION ALL SELECT n + %d FROM a WHERE n + %d < %d) `+insert+
			`SELECT %d, n / 7 %% %d + 1 AS scope, %d + (n * 31 / 7 + %d) %% %d AS version, n + 1 FROM a ORDER BY scope, version, n`,
			first, step, step, g.artifacts, pkg, projects, (pkg-1)*versions+1, pkg*17, versions))
		if err != nil {
			return err
		}
	}
	if err := g.exec(fmt.Sprintf(insert+`VALUES (%d, 1, %d, 1)`, g.rare(), packages*versions+1)); err != nil {
		return err
	}
	if g.db.Engine() == db.Postgres {
		return g.exec(`ALTER TABLE package_use ADD PRIMARY KEY (package_id, scope, version_id, document_id)`)
	}
	return nil
}

func (g *generator) analyze() error { return g.exec(`ANALYZE`) }

// exec runs a statement that may take its time.
func (g *generator) exec(query string) error {
	return g.db.Write(g.ctx, func(tx *db.Tx) error {
		if g.db.Engine() == db.Postgres {
			if _, err := tx.Exec(`SET LOCAL statement_timeout = 0`); err != nil {
				return err
			}
		}
		_, err := tx.Exec(query)
		return err
	})
}

// insert adds n rows to a table, in blocks.
func (g *generator) insert(into string, n int, row func(i int) []any) error {
	const block, commit = 200, 50
	for begin := 0; begin < n; begin += block * commit {
		err := g.db.Write(g.ctx, func(tx *db.Tx) error {
			for at := begin; at < min(begin+block*commit, n); at += block {
				var values []string
				var args []any
				for i := at; i < min(at+block, n); i++ {
					var marks []string
					for _, v := range row(i) {
						args = append(args, v)
						marks = append(marks, fmt.Sprintf("$%d", len(args)))
					}
					values = append(values, "("+strings.Join(marks, ", ")+")")
				}
				if _, err := tx.Exec(`INSERT INTO `+into+` VALUES `+strings.Join(values, ", "), args...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", into, err)
		}
	}
	return nil
}

// size is what package_use takes, and all of the database.
func (g *generator) size() (out [2]string, err error) {
	queries := []string{`SELECT pg_total_relation_size('package_use')`, `SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`}
	if g.db.Engine() == db.SQLite {
		queries = []string{`SELECT COALESCE((SELECT SUM(pgsize) FROM dbstat WHERE name = 'package_use'), 0)`, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`}
	}
	for i, q := range queries {
		var n int64
		if err := g.db.QueryRow(g.ctx, q).Scan(&n); err != nil {
			return out, err
		}
		out[i] = fmt.Sprintf("%.2f GB", float64(n)/1e9)
	}
	return out, nil
}
