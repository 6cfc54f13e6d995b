package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hallmarkhub/hallmark/core/db"
)

//go:embed *.sql
var files embed.FS

// table is where goose notes what has been applied.
const table = "schema_migration"

// Status is one migration.
type Status struct {
	Version int64
	Name    string
	Applied bool
}

// Up applies what is missing, each migration in its transaction, one process at a time. It refuses a database whose
// schema asks for a newer binary.
func Up(ctx context.Context, d *db.DB) error {
	if err := Check(ctx, d); err != nil {
		return err
	}
	p, err := provider(d)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("the schema could not be brought up to date: %w", err)
	}
	oldest, err := oldestBinaries()
	if err != nil {
		return err
	}
	var need int64
	for _, o := range oldest {
		need = max(need, o)
	}
	return d.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('oldest_binary', $1)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT)`,
			strconv.FormatInt(need, 10))
		return err
	})
}

// List tells what there is and what has been applied.
func List(ctx context.Context, d *db.DB) ([]Status, error) {
	p, err := provider(d)
	if err != nil {
		return nil, err
	}
	st, err := p.Status(ctx)
	if err != nil {
		return nil, err
	}
	var out []Status
	for _, s := range st {
		out = append(out, Status{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied})
	}
	return out, nil
}

// Known is the newest schema this binary knows.
func Known() (int64, error) {
	oldest, err := oldestBinaries()
	if err != nil {
		return 0, err
	}
	var newest int64
	for v := range oldest {
		newest = max(newest, v)
	}
	return newest, nil
}

// Check refuses a database that a newer version of Hallmark has changed so that this binary would misread it.
func Check(ctx context.Context, d *db.DB) error {
	known, err := Known()
	if err != nil {
		return err
	}
	exists, err := HasSchema(ctx, d)
	if err != nil || !exists {
		return err
	}
	var value string
	err = d.QueryRow(ctx, `SELECT value FROM meta WHERE key = 'oldest_binary'`).Scan(&value)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	need, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("the database says it needs schema %q, which is no number", value)
	}
	if need > known {
		return fmt.Errorf("the database has a schema that needs a binary which knows version %d, and this one knows %d: start the newer version of Hallmark, or restore a backup from before the upgrade", need, known)
	}
	return nil
}

// HasSchema reports whether the database was worked on before: only then there are tables to ask.
func HasSchema(ctx context.Context, d *db.DB) (bool, error) {
	q := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'`
	if d.Engine() == db.Postgres {
		q = `SELECT count(*) FROM pg_tables WHERE tablename = 'meta' AND schemaname = current_schema()`
	}
	var n int64
	err := d.QueryRow(ctx, q).Scan(&n)
	return n > 0, err
}

func provider(d *db.DB) (*goose.Provider, error) {
	merged, err := merge(d.Engine())
	if err != nil {
		return nil, err
	}
	opts := []goose.ProviderOption{goose.WithTableName(table), goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if d.Engine() == db.Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, d.Pool(), merged, opts...)
}

var fileName = regexp.MustCompile(`^(\d{4})_([a-z_]+)(?:\.(postgres|sqlite))?\.sql$`)

// merge makes one script of the shared text of a migration and the engine's own, because goose wants one file a version.
func merge(engine db.Engine) (fs.FS, error) {
	texts := map[string]string{}
	err := each(func(name, version, title, only, text string) error {
		if only == "" || only == string(engine) {
			texts[version+"_"+title+".sql"] += text + "\n"
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	head := "-- +goose Up\n"
	if engine == db.Postgres {
		// Not the limits of a request: an index on a large table takes its time.
		head += "SET LOCAL statement_timeout = 0;\nSET LOCAL lock_timeout = '60s';\n"
	}
	merged := fstest.MapFS{}
	for name, text := range texts {
		merged[name] = &fstest.MapFile{Data: []byte(head + text)}
	}
	return merged, nil
}

// each calls f for every file, the shared one of a version before the engines' own.
func each(f func(name, version, title, only, text string) error) error {
	entries, err := files.ReadDir(".")
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, j int) bool {
		a, b := entries[i].Name(), entries[j].Name()
		if a[:4] != b[:4] {
			return a < b
		}
		return strings.Count(a, ".") < strings.Count(b, ".")
	})
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil {
			return fmt.Errorf("migration %s is not named NNNN_name[.engine].sql", e.Name())
		}
		b, err := files.ReadFile(e.Name())
		if err != nil {
			return err
		}
		if err := f(e.Name(), m[1], m[2], m[3], string(b)); err != nil {
			return err
		}
	}
	return nil
}

var oldestLine = regexp.MustCompile(`(?m)^-- oldest_binary: (\d+)$`)

// oldestBinaries reads from each shared file which schema a binary has to know to work on it.
func oldestBinaries() (map[int64]int64, error) {
	out := map[int64]int64{}
	err := each(func(name, version, _, only, text string) error {
		if only != "" {
			return nil
		}
		m := oldestLine.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("migration %s does not state oldest_binary", name)
		}
		v, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return err
		}
		out[v], err = strconv.ParseInt(m[1], 10, 64)
		return err
	})
	return out, err
}
