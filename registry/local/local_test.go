package local_test

import (
	"context"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/migrations"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/disk"
	"github.com/hallmarkhub/hallmark/registry/blob/driver"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
	"github.com/hallmarkhub/hallmark/registry/registrytest"
	"github.com/hallmarkhub/hallmark/tests/s3test"
)

// TestContract runs the contract of a registry on every stack of database and blob store.
func TestContract(t *testing.T) {
	engines := map[string]func(testing.TB) dbtest.Open{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres}
	stores := map[string]func(testing.TB) blob.Store{
		"disk":                      openDisk,
		"memory":                    func(testing.TB) blob.Store { return memory.New(memory.Options{}) },
		"memory as an object store": func(testing.TB) blob.Store { return memory.New(memory.Options{Buffered: true}) },
		"distribution's filesystem": func(t testing.TB) blob.Store { return openDriver(t, "distfs://"+t.TempDir()) },
		"s3":                        func(t testing.TB) blob.Store { return openDriver(t, s3test.Start(t)) },
	}
	for engine, open := range engines {
		for store, place := range stores {
			t.Run(engine+" and "+store, func(t *testing.T) {
				if store != "s3" { // which is told its address through the environment
					t.Parallel()
				}
				contract(t, open, place)
			})
		}
	}
}

func openDriver(t testing.TB, address string) blob.Store {
	t.Helper()
	s, err := driver.Open(t.Context(), address, driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func contract(t *testing.T, engine func(testing.TB) dbtest.Open, store func(testing.TB) blob.Store) {
	registrytest.Run(t, registrytest.Subject{
		Open: func(t *testing.T) registry.Registry { return open(t, engine(t)(t), store(t), local.Options{}) },
		Ctx:  as,
	})
}

func as(ctx context.Context, name string) context.Context {
	return core.WithPrincipal(ctx, &core.Principal{Kind: core.KindUser, ID: name, Name: name})
}

func openDisk(t testing.TB) blob.Store {
	s, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open makes a registry with two projects on an empty database.
func open(t testing.TB, d *db.DB, store blob.Store, opt local.Options) *local.Registry {
	t.Helper()
	ctx := context.Background()
	if err := migrations.Up(ctx, d); err != nil {
		t.Fatal(err)
	}
	err := d.Write(ctx, func(tx *db.Tx) error {
		for _, p := range []string{"p1", "p2"} {
			if _, err := tx.Exec(`INSERT INTO project (id, name, visibility, baseline, created_at, updated_at) VALUES ($1, $1, 'private', 'off', 1, 1)`, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := local.New(d, store, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}
