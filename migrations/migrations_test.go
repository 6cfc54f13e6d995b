package migrations_test

import (
	"context"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/migrations"
)

func TestUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		for range 2 { // again does nothing
			if err := migrations.Up(context.Background(), d); err != nil {
				t.Fatal(err)
			}
		}
		list, err := migrations.List(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		known, _ := migrations.Known()
		if len(list) == 0 || list[len(list)-1].Version != known {
			t.Fatalf("%v, newest %d", list, known)
		}
		for _, s := range list {
			if !s.Applied {
				t.Errorf("%s is not applied", s.Name)
			}
		}
	})
}

func TestSchemaTooNew(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		ctx := context.Background()
		d := open(t)
		if err := migrations.Up(ctx, d); err != nil {
			t.Fatal(err)
		}
		err := d.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE meta SET value = '9999' WHERE key = 'oldest_binary'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := migrations.Up(ctx, d); err == nil {
			t.Fatal("a schema that needs a newer binary was accepted")
		}
	})
}
