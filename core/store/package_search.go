package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Looking for a package. First which projects that somebody sees have it (PackageScopes), then what in each of them
// (PackageUses): both ask for the rights first, so that neither the answer nor its time tells of other projects. Which
// statements run does not depend on whether the package is known.

// PackageIDs are those of a package by its name and, unless version is nil, of that version of it. One that is not known has 0,
// which nothing has.
func (s *Store) PackageIDs(ctx context.Context, p core.Package, version *string) (id, versionID int64, err error) {
	id, _, err = row(s.reads(ctx), `SELECT id FROM package WHERE name = $1 AND namespace = $2 AND type = $3`, []any{p.Name, p.Namespace, p.Type}, scanID)
	if err != nil || version == nil {
		return id, 0, err
	}
	versionID, _, err = row(s.reads(ctx), `SELECT id FROM package_version WHERE package_id = $1 AND version = $2`, []any{id, *version}, scanID)
	return id, versionID, err
}

// PackageQuery is what is looked for.
type PackageQuery struct {
	Package int64
	Version *int64            // only this one; nil for any
	Project string            // only there; "" for all
	Sources []core.SBOMSource // at least one
}

// PackageScope is a project in which a package was found.
type PackageScope struct {
	ID     int64
	Source core.SBOMSource
	ListedProject
}

// PackageScopes lists where a principal sees a package, at most n from the scope first on; more says that there are further
// ones. It does not look at the principal's grants.
func (s *Store) PackageScopes(ctx context.Context, p *core.Principal, q PackageQuery, first int64, n int) (scopes []PackageScope, more bool, err error) {
	sources := make([]string, len(q.Sources))
	for i := range q.Sources {
		sources[i] = string(q.Sources[i])
	}
	var st statement
	st.add(`SELECT c.id, c.source, `+projectColumns+`, COALESCE(m.role, '') FROM package_scope c JOIN project p ON p.id = c.project_id
		LEFT JOIN member m ON m.project_id = p.id AND m.account_id = ? WHERE c.id >= ? AND c.source IN `, userID(p), first)
	st.in(sources)
	if !p.Admin {
		st.add(` AND (p.visibility = ? OR m.role IS NOT NULL OR p.id = ?)`, string(core.Public), p.Project)
	}
	st.when(q.Project != "", ` AND p.name = ?`, q.Project)
	st.add(` AND EXISTS (SELECT 1 FROM package_use u WHERE u.package_id = ? AND u.scope = c.id`, q.Package)
	if q.Version != nil {
		st.add(` AND u.version_id = ?`, *q.Version)
	}
	st.add(`) ORDER BY c.id`)
	return page(s.reads(ctx), &st, n, func(row func(...any) error) (c PackageScope, err error) {
		p, err := scanProject(func(dest ...any) error {
			return row(append(append([]any{&c.ID, &c.Source}, dest...), &c.Role)...)
		})
		c.Project = *p
		return c, err
	})
}

// UsePosition is the place of a PackageUse in the list of its scope.
type UsePosition struct {
	Version, Document int64
	Repository        string // id
	Subject, Carrier  string
	Item              int64
}

// PackageUse is a package in an artifact, as one document says.
type PackageUse struct {
	UsePosition
	Number         string // of the version
	RepositoryName string // whole
	DocumentDigest string
	Format         string
	CreatedAt      time.Time
	Evidence       *core.Evidence // nil of a document that lies there by itself
	// Attested is an attestation that says the same of the same digest; nil if there is none, and where nobody's word but an attestation's is
	// looked for.
	Attested *core.Evidence
}

// PackageUses lists what in a scope has a package, by version, at most n behind the position after; more says that there are
// further ones.
func (s *Store) PackageUses(ctx context.Context, q PackageQuery, scope PackageScope, after UsePosition, n int) (uses []*PackageUse, more bool, err error) {
	var st statement
	st.add(`SELECT u.version_id, u.document_id, s.repository_id, s.subject, s.carrier, s.item, v.version, r.name, d.digest, d.format, s.created_at,
		COALESCE((SELECT e.facts FROM evidence e WHERE e.repository_id = s.repository_id AND e.carrier = s.carrier AND e.item = s.item AND e.subject = s.subject), '')`)
	if scope.Source == core.SBOMScanned {
		st.add(`, COALESCE((SELECT e.facts FROM sbom o JOIN package_scope c ON c.id = o.scope AND c.source = '` + string(core.SBOMAttested) + `'
			JOIN package_use w ON w.package_id = u.package_id AND w.scope = o.scope AND w.version_id = u.version_id AND w.document_id = o.document_id
			JOIN evidence e ON e.repository_id = o.repository_id AND e.carrier = o.carrier AND e.item = o.item
			WHERE o.repository_id = s.repository_id AND o.subject = s.subject LIMIT 1), '')`)
	} else {
		st.add(`, ''`)
	}
	st.add(`
		FROM package_use u JOIN sbom s ON s.document_id = u.document_id AND s.scope = u.scope
		JOIN package_version v ON v.id = u.version_id JOIN repository r ON r.id = s.repository_id JOIN sbom_document d ON d.id = u.document_id
		WHERE u.package_id = ? AND u.scope = ?`, q.Package, scope.ID)
	if q.Version != nil {
		st.add(` AND u.version_id = ?`, *q.Version)
	}
	// The first comparison is one that the key of package_use can answer, the second one is exact.
	st.add(` AND (u.version_id, u.document_id) >= (?, ?) AND (u.version_id, u.document_id, s.repository_id, s.subject, s.carrier, s.item) > (?, ?, ?, ?, ?, ?)
		ORDER BY u.version_id, u.document_id, s.repository_id, s.subject, s.carrier, s.item`, after.Version, after.Document,
		after.Version, after.Document, after.Repository, after.Subject, after.Carrier, after.Item)
	return page(s.reads(ctx), &st, n, func(row func(...any) error) (*PackageUse, error) {
		var u PackageUse
		var created int64
		var facts, attested string
		err := row(&u.Version, &u.Document, &u.Repository, &u.Subject, &u.Carrier, &u.Item, &u.Number, &u.RepositoryName, &u.DocumentDigest,
			&u.Format, &created, &facts, &attested)
		u.CreatedAt = db.Time(created)
		if err == nil {
			u.Evidence, err = parseEvidence(facts)
		}
		if err == nil {
			u.Attested, err = parseEvidence(attested)
		}
		return &u, err
	})
}

// Place is a digest in a repository.
type Place struct{ RepositoryID, Digest string }

// PlaceTags lists the tags of some places, and of the indexes there that list them: up to n of each, in byte order, those of its own
// first.
func (s *Store) PlaceTags(ctx context.Context, places []Place, n int) (map[Place][]string, error) {
	out := map[Place][]string{}
	if len(places) == 0 {
		return out, nil
	}
	var st statement
	placeRows(&st, places)
	// CROSS JOIN: to SQLite it says in which order, else it reads all tags there are.
	st.add(`, tagged AS (SELECT a.repository_id, a.digest, t.name, 0 AS far FROM place a CROSS JOIN tag t
			WHERE t.repository_id = a.repository_id AND t.digest = a.digest
		UNION ALL SELECT a.repository_id, a.digest, t.name, 1 FROM place a CROSS JOIN manifest_reference m CROSS JOIN tag t
			WHERE m.target = a.digest AND m.kind = 'manifest' AND t.repository_id = a.repository_id AND t.digest = m.manifest),
		ranked AS (SELECT repository_id, digest, name, ROW_NUMBER() OVER (PARTITION BY repository_id, digest ORDER BY far, name) AS place FROM tagged)
		SELECT repository_id, digest, name FROM ranked WHERE place <= ? ORDER BY repository_id, digest, place`, n)
	_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var p Place
		var name string
		err := row(&p.RepositoryID, &p.Digest, &name)
		out[p] = append(out[p], name)
		return struct{}{}, err
	})
	return out, err
}

// placeRows begins a statement with the table place (repository_id, digest). places must not be empty.
func placeRows(st *statement, places []Place) {
	st.add(`WITH place (repository_id, digest) AS (SELECT DISTINCT column1, column2 FROM (VALUES `)
	for i := range rounded(len(places)) {
		p := places[min(i, len(places)-1)]
		st.when(i > 0, `, `)
		st.add(`(CAST(? AS TEXT), CAST(? AS TEXT))`, p.RepositoryID, p.Digest)
	}
	st.add(`) AS given)`)
}

// PlacePulls adds up who pulled some places since a day, the most frequent first and at most n of each. Names are as in PullsSince.
func (s *Store) PlacePulls(ctx context.Context, places []Place, since time.Time, n int) (map[Place][]Pull, error) {
	out := map[Place][]Pull{}
	if len(places) == 0 {
		return out, nil
	}
	var st statement
	placeRows(&st, places)
	st.add(`, pulled AS (SELECT u.repository_id, u.digest, u.principal, SUM(u.pulls) AS pulls, MAX(u.last_at) AS last_at
			FROM place a CROSS JOIN pull u WHERE u.repository_id = a.repository_id AND u.digest = a.digest AND u.day >= ? GROUP BY u.repository_id, u.digest, u.principal),
		ranked AS (SELECT repository_id, digest, principal, pulls, last_at, ROW_NUMBER() OVER (PARTITION BY repository_id, digest ORDER BY pulls DESC, principal) AS place FROM pulled)
		SELECT k.repository_id, k.digest, COALESCE(a.username, 'robot$' || rp.name || '+' || ro.name, k.principal), k.pulls, k.last_at FROM ranked k
		LEFT JOIN account a ON a.id = SUBSTR(k.principal, 6) -- behind user:
		LEFT JOIN robot ro ON ro.id = SUBSTR(k.principal, 7) -- behind robot:
		LEFT JOIN project rp ON rp.id = ro.project_id
		WHERE k.place <= ? ORDER BY k.repository_id, k.digest, k.place`, Day(since), n)
	_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var p Place
		var u Pull
		var last int64
		err := row(&p.RepositoryID, &p.Digest, &u.Principal, &u.Pulls, &last)
		u.LastAt = db.Time(last)
		out[p] = append(out[p], u)
		return struct{}{}, err
	})
	return out, err
}
