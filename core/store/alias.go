package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Alias is another name of a vulnerability.
type Alias struct {
	Name   string // the vulnerability: CVE-2024-1
	Alias  string
	Source string // cnnvd, cnvd, ghsa ..
	Title  string // in whatever language the source has it; "" if it has none
}

// AliasSource is a list of aliases that somebody imported.
type AliasSource struct {
	Name       string
	Aliases    int64
	ImportedAt time.Time
	ImportedBy string // kind:id
}

const (
	// maxAliasSources is how many lists there are at most.
	maxAliasSources = 100
	aliasBlock      = 500
	// importGrace is how long an import may take before its rows are swept as those of one that was given up.
	importGrace = time.Hour
)

// How many bytes a name and a title of an alias have at most.
const (
	MaxAliasName  = 128
	MaxAliasTitle = 1024
)

// PutAliases puts a list in the place of that of its source. The rows are written in short transactions and count all at once;
// those of the list before go afterwards.
func (s *Store) PutAliases(ctx context.Context, source string, all []Alias) (*AliasSource, error) {
	id := NewID()
	for block := range slices.Chunk(all, aliasBlock) {
		if err := s.write(ctx, func(tx *db.Tx) error { return insertAliases(tx, id, block) }); err != nil {
			return nil, err
		}
	}
	out := &AliasSource{Name: source, ImportedBy: core.PrincipalFrom(ctx).Actor()}
	before := ""
	err := s.write(ctx, func(tx *db.Tx) error {
		if err := roomForAliases(tx, source); err != nil {
			return err
		}
		// Two lines of the list may say the same.
		var err error
		if before, _, err = row(tx.Query, `SELECT import_id FROM alias_source WHERE name = $1`, []any{source}, scanText); err != nil {
			return err
		}
		n, _, err := row(tx.Query, `SELECT COUNT(*) FROM vulnerability_alias WHERE import_id = $1`, []any{id}, scanID)
		if err != nil {
			return err
		}
		out.Aliases, out.ImportedAt = n, db.Time(tx.Now())
		if _, err := tx.Exec(`INSERT INTO alias_source (name, import_id, aliases, imported_at, imported_by) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (name) DO UPDATE SET import_id = excluded.import_id, aliases = excluded.aliases, imported_at = excluded.imported_at, imported_by = excluded.imported_by`,
			source, id, n, tx.Now(), out.ImportedBy); err != nil {
			return err
		}
		return Audit(tx, "aliases.import", "", source, detail(struct {
			Aliases int64 `json:"aliases"`
		}{n}))
	})
	if err != nil {
		return nil, err
	}
	// The list counts, whatever becomes of this: what is left of the one before is swept.
	_, _ = s.removeImport(ctx, before)
	return out, nil
}

func roomForAliases(tx *db.Tx, source string) error {
	others, _, err := row(tx.Query, `SELECT COUNT(*) FROM alias_source WHERE name <> $1`, []any{source}, scanID)
	if err == nil && others >= maxAliasSources {
		err = core.Errorf(core.CodeLimit, "there are %d lists of aliases, and no more are kept: delete one first", maxAliasSources)
	}
	return err
}

func insertAliases(tx *db.Tx, id string, block []Alias) error {
	var st statement
	st.add(`INSERT INTO vulnerability_alias (name, alias, import_id, title) VALUES `)
	for i := range rounded(len(block)) {
		a := block[min(i, len(block)-1)]
		st.when(i > 0, `, `)
		st.add(`(?, ?, ?, ?)`, a.Name, a.Alias, id, a.Title)
	}
	st.add(` ON CONFLICT (name, alias, import_id) DO NOTHING`)
	_, err := tx.Exec(st.text.String(), st.args...)
	return err
}

// DeleteAliases removes the list of a source. CodeNotFound if there is none.
func (s *Store) DeleteAliases(ctx context.Context, source string) error {
	id := ""
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		found := false
		id, found, err = row(tx.Query, `DELETE FROM alias_source WHERE name = $1 RETURNING import_id`, []any{source}, scanText)
		if err == nil && !found {
			err = core.Errorf(core.CodeNotFound, "there are no aliases of %s", source)
		}
		if err != nil {
			return err
		}
		return Audit(tx, "aliases.delete", "", source, "")
	})
	if err != nil {
		return err
	}
	_, _ = s.removeImport(ctx, id) // what is left is swept
	return nil
}

// AliasSources lists the lists, at most n behind the name after; more says that there are further ones.
func (s *Store) AliasSources(ctx context.Context, after string, n int) (sources []AliasSource, more bool, err error) {
	var st statement
	st.add(`SELECT name, aliases, imported_at, imported_by FROM alias_source WHERE name > ? ORDER BY name`, after)
	return page(s.reads(ctx), &st, n, func(row func(...any) error) (a AliasSource, err error) {
		var at int64
		err = row(&a.Name, &a.Aliases, &at, &a.ImportedBy)
		a.ImportedAt = db.Time(at)
		return a, err
	})
}

// AliasesOf returns the aliases of some vulnerabilities, by name, in order of source and alias.
func (s *Store) AliasesOf(ctx context.Context, names []string) (map[string][]Alias, error) {
	out := map[string][]Alias{}
	for block := range slices.Chunk(names, packageBlock) {
		var st statement
		st.add(`SELECT a.name, a.alias, c.name, a.title FROM vulnerability_alias a JOIN alias_source c ON c.import_id = a.import_id WHERE a.name IN `)
		st.in(block)
		st.add(` ORDER BY c.name, a.alias`)
		_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
			var a Alias
			err := row(&a.Name, &a.Alias, &a.Source, &a.Title)
			out[a.Name] = append(out[a.Name], a)
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// NameOf is the vulnerability that an alias stands for, the first one if there are several; "" if there is none.
func (s *Store) NameOf(ctx context.Context, alias string) (string, error) {
	name, _, err := row(s.reads(ctx), `SELECT a.name FROM vulnerability_alias a JOIN alias_source c ON c.import_id = a.import_id
		WHERE a.alias = $1 ORDER BY a.name LIMIT 1`, []any{alias}, scanText)
	return name, err
}

// removeImport removes the rows of an import that no source names.
func (s *Store) removeImport(ctx context.Context, id string) (int, error) {
	return s.swept(ctx, `DELETE FROM vulnerability_alias WHERE (name, alias, import_id) IN (SELECT a.name, a.alias, a.import_id FROM vulnerability_alias a
		WHERE a.import_id = $1 AND NOT EXISTS (SELECT 1 FROM alias_source c WHERE c.import_id = a.import_id) LIMIT $2)`,
		func(*db.Tx) []any { return []any{id, sweepBatch} })
}

// sweepAliases removes what is left of lists that were replaced or deleted, and of imports that did not come to their end.
func (s *Store) sweepAliases(ctx context.Context) (removed int, err error) {
	// Ids of imports begin with the milliseconds at which they were made.
	made := fmt.Sprintf("%012x", s.Now().Add(-importGrace).UnixMilli())
	for after := ""; ; {
		id, found, err := row(s.reads(ctx), `SELECT import_id FROM vulnerability_alias WHERE import_id > $1 AND import_id < $2 ORDER BY import_id LIMIT 1`,
			[]any{after, made[:8] + "-" + made[8:]}, scanText)
		if err != nil || !found {
			return removed, err
		}
		after = id
		n, err := s.removeImport(ctx, id)
		removed += n
		if err != nil {
			return removed, err
		}
	}
}
