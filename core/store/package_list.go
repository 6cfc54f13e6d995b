package store

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// SBOMDocument is a bill of materials by its own bytes.
type SBOMDocument struct {
	ID       int64
	Digest   string
	Format   string // spdx or cyclonedx; "" if it cannot be read, and then Problem says why
	Version  string // of the format
	Packages int64
	Unnamed  int64 // listed without a package URL that can be used
	Problem  string
}

// packageBlock is how many packages one statement is about.
const packageBlock = 400

// errNotListed says that somebody else lists or removes the packages of a document at this moment: do it again later.
var errNotListed = errors.New("the packages of a document are being listed or removed by somebody else")

// DocumentIn returns the document that a blob was found to hold before, in whatever repository.
func (s *Store) DocumentIn(ctx context.Context, content string) (id int64, found bool, err error) {
	return row(s.reads(ctx), `SELECT document_id FROM sbom WHERE content = $1 LIMIT 1`, []any{content}, scanID)
}

func scanID(row func(...any) error) (id int64, err error) { return id, row(&id) }

// SaveDocument saves a document and its packages, which are in order of their package URLs, and returns its id. One that is
// known is left as it is. Each transaction is short, however long the list.
func (s *Store) SaveDocument(ctx context.Context, d SBOMDocument, packages []core.Package) (id int64, err error) {
	id, found, err := row(s.reads(ctx), `SELECT id FROM sbom_document WHERE digest = $1`, []any{d.Digest}, scanID)
	if err != nil || found {
		return id, err
	}
	list := []byte{}
	for block := range slices.Chunk(packages, packageBlock) {
		ids, err := s.packageIDs(ctx, block)
		if err != nil {
			return 0, err
		}
		for _, x := range ids {
			list = binary.AppendUvarint(binary.AppendUvarint(list, uint64(x.Version)), uint64(x.note))
		}
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		id, _, err = row(tx.Query, `INSERT INTO sbom_document (digest, format, version, packages, unnamed, list, problem, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING id`,
			[]any{d.Digest, d.Format, d.Version, len(packages), d.Unnamed, list, d.Problem, tx.Now()}, scanID)
		return err
	})
	return id, err
}

// PackageEntry is a package in the list of a document, without its names (see Named). Version is the same for the same version of
// the same package, whatever a document says of it besides.
type PackageEntry struct{ Version, note int64 }

// packageIDs finds or makes the rows of packages.
func (s *Store) packageIDs(ctx context.Context, packages []core.Package) ([]PackageEntry, error) {
	keys := make([][]string, len(packages))
	keysOf := func(key func(i int) []string) [][]string {
		for i := range keys {
			keys[i] = key(i)
		}
		return keys
	}
	names, err := s.intern(ctx, dictionary{table: "package", columns: []string{"name", "namespace", "type"}},
		keysOf(func(i int) []string { return []string{packages[i].Name, packages[i].Namespace, packages[i].Type} }))
	if err != nil {
		return nil, err
	}
	versions, err := s.intern(ctx, dictionary{table: "package_version", columns: []string{"package_id", "version"}, number: true},
		keysOf(func(i int) []string { return []string{strconv.FormatInt(names[i], 10), packages[i].Version} }))
	if err != nil {
		return nil, err
	}
	notes, err := s.intern(ctx, dictionary{table: "package_note", columns: []string{"licences", "rest"}},
		keysOf(func(i int) []string { return []string{packages[i].Licences, packages[i].Rest} }))
	if err != nil {
		return nil, err
	}
	out := make([]PackageEntry, len(packages))
	for i := range packages {
		out[i] = PackageEntry{versions[i], notes[i]}
	}
	return out, nil
}

// dictionary is a table whose rows stand for their texts. Rows are made and never changed.
type dictionary struct {
	table   string
	columns []string // the unique ones
	number  bool     // the first of them is the id of another row
}

// keyText is a key as one text: no part of it has a NUL.
func keyText(key []string) string { return strings.Join(key, "\x00") }

// intern returns the ids of the rows with these keys. What is there is read outside of transactions, which is nearly all;
// ids are given out only for what is new.
func (s *Store) intern(ctx context.Context, d dictionary, keys [][]string) ([]int64, error) {
	known := map[string]int64{}
	if err := d.find(s.reads(ctx), keys, known); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(keys), func(k []string) bool { return known[keyText(k)] != 0 })
	if len(missing) > 0 {
		// In one order everywhere, so that processes that do this at the same time do not wait for each other in a circle.
		slices.SortFunc(missing, slices.Compare[[]string])
		err := s.write(ctx, func(tx *db.Tx) error {
			var st statement
			columns := strings.Join(d.columns, ", ")
			st.add(`INSERT INTO ` + d.table + ` (` + columns + `) `)
			d.values(&st, missing)
			st.add(` ON CONFLICT (` + columns + `) DO NOTHING`)
			if _, err := tx.Exec(st.text.String(), st.args...); err != nil {
				return err
			}
			return d.find(tx.Query, missing, known)
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]int64, len(keys))
	for i, k := range keys {
		out[i] = known[keyText(k)]
	}
	return out, nil
}

// values appends rows, the number of which is rounded up as that of statement.in is.
func (d dictionary) values(st *statement, keys [][]string) {
	st.add(`VALUES `)
	for i := range rounded(len(keys)) {
		st.when(i > 0, `, `)
		for j, part := range keys[min(i, len(keys)-1)] {
			switch {
			case j == 0 && d.number:
				st.add(`(CAST(? AS INTEGER)`, part)
			case j == 0:
				st.add(`(?`, part)
			default:
				st.add(`, ?`, part)
			}
		}
		st.add(`)`)
	}
}

// find adds the ids of keys to known.
func (d dictionary) find(q querier, keys [][]string, known map[string]int64) error {
	first := d.columns[0]
	if d.number {
		first = `CAST(` + first + ` AS TEXT)`
	}
	var st statement
	st.add(`SELECT id, ` + strings.Join(append([]string{first}, d.columns[1:]...), ", ") + ` FROM ` + d.table + ` WHERE (` + strings.Join(d.columns, ", ") + `) IN (`)
	d.values(&st, keys)
	st.add(`)`)
	_, err := rows(q, st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var id int64
		key := make([]string, len(d.columns))
		dest := []any{&id}
		for i := range key {
			dest = append(dest, &key[i])
		}
		err := row(dest...)
		known[keyText(key)] = id
		return struct{}{}, err
	})
	return err
}

// PackageEntries returns the list of a document, in order of the package URLs.
func (s *Store) PackageEntries(ctx context.Context, document int64) ([]PackageEntry, error) {
	list, found, err := row(s.reads(ctx), `SELECT list FROM sbom_document WHERE id = $1`, []any{document},
		func(row func(...any) error) (b []byte, err error) { return b, row(&b) })
	if err == nil && !found {
		err = errNotListed
	}
	if err != nil {
		return nil, err
	}
	return parseEntries(list)
}

func parseEntries(list []byte) ([]PackageEntry, error) {
	var out []PackageEntry
	for len(list) > 0 {
		version, n := binary.Uvarint(list)
		if n <= 0 {
			return nil, errBrokenList
		}
		note, m := binary.Uvarint(list[n:])
		if m <= 0 {
			return nil, errBrokenList
		}
		out = append(out, PackageEntry{int64(version), int64(note)})
		list = list[n+m:]
	}
	return out, nil
}

var errBrokenList = errors.New("the stored list of a document cannot be read")

// listLease is how long somebody who puts the packages of a document in, or takes them out, has them for himself.
const listLease = 10 * time.Minute

// ListDocument makes the packages of a document findable in a project, for documents of one source. Again does nothing.
func (s *Store) ListDocument(ctx context.Context, p *core.Project, source core.SBOMSource, document int64) error {
	var scope int64
	done := false
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		scope, _, err = row(tx.Query, `INSERT INTO package_scope (project_id, source) VALUES ($1, $2)
			ON CONFLICT (project_id, source) DO UPDATE SET source = excluded.source RETURNING id`, []any{p.ID, string(source)}, scanID)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE package_listed SET touched_at = $1 WHERE document_id = $2 AND scope = $3 AND complete`, tx.Now(), document, scope)
		if done = n > 0; done || err != nil {
			return err
		}
		n, err = tx.Exec(`INSERT INTO package_listed (scope, document_id, complete, touched_at) VALUES ($1, $2, FALSE, $3)
			ON CONFLICT (document_id, scope) DO UPDATE SET touched_at = excluded.touched_at
			WHERE NOT package_listed.complete AND package_listed.touched_at < $4`, scope, document, tx.Now(), tx.Now()-listLease.Microseconds())
		if err == nil && n == 0 {
			err = errNotListed
		}
		return err
	})
	if err != nil || done {
		return err
	}
	all, err := s.PackageEntries(ctx, document)
	if err != nil {
		return err
	}
	for block := range slices.Chunk(all, packageBlock) {
		if err := s.write(ctx, func(tx *db.Tx) error { return usePackages(tx, scope, document, block) }); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE package_listed SET complete = TRUE, touched_at = $1 WHERE document_id = $2 AND scope = $3`, tx.Now(), document, scope)
		return err
	})
}

func usePackages(tx *db.Tx, scope, document int64, block []PackageEntry) error {
	var st statement
	st.add(`INSERT INTO package_use (package_id, scope, version_id, document_id)
		SELECT package_id, CAST(? AS INTEGER), id, CAST(? AS INTEGER) FROM package_version WHERE id IN `, scope, document)
	st.inIDs(versionsOf(block))
	st.add(` ORDER BY package_id, id ON CONFLICT (package_id, scope, version_id, document_id) DO NOTHING`)
	_, err := tx.Exec(st.text.String(), st.args...)
	return err
}

func versionsOf(list []PackageEntry) []int64 {
	out := make([]int64, len(list))
	for i := range list {
		out[i] = list[i].Version
	}
	return out
}

// Named returns the packages of some entries, in their order.
func (s *Store) Named(ctx context.Context, list []PackageEntry) ([]core.Package, error) {
	out := make([]core.Package, 0, len(list))
	for block := range slices.Chunk(list, packageBlock) {
		versions, err := s.versionsNamed(ctx, block)
		if err != nil {
			return nil, err
		}
		notes, err := s.notesNamed(ctx, block)
		if err != nil {
			return nil, err
		}
		for _, e := range block {
			p := versions[e.Version]
			p.Rest, p.Licences = notes[e.note].Rest, notes[e.note].Licences
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *Store) versionsNamed(ctx context.Context, block []PackageEntry) (map[int64]core.Package, error) {
	var st statement
	st.add(`SELECT v.id, p.type, p.namespace, p.name, v.version FROM package_version v JOIN package p ON p.id = v.package_id WHERE v.id IN `)
	st.inIDs(versionsOf(block))
	return s.packagesByID(ctx, &st, func(p *core.Package) []any { return []any{&p.Type, &p.Namespace, &p.Name, &p.Version} })
}

func (s *Store) notesNamed(ctx context.Context, block []PackageEntry) (map[int64]core.Package, error) {
	ids := make([]int64, len(block))
	for i := range block {
		ids[i] = block[i].note
	}
	slices.Sort(ids)
	var st statement
	st.add(`SELECT id, rest, licences FROM package_note WHERE id IN `)
	st.inIDs(slices.Compact(ids))
	return s.packagesByID(ctx, &st, func(p *core.Package) []any { return []any{&p.Rest, &p.Licences} })
}

func (s *Store) packagesByID(ctx context.Context, st *statement, fields func(p *core.Package) []any) (map[int64]core.Package, error) {
	out := map[int64]core.Package{}
	_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var id int64
		var p core.Package
		err := row(append([]any{&id}, fields(&p)...)...)
		out[id] = p
		return struct{}{}, err
	})
	return out, err
}
