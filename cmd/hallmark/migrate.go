package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/migrations"
)

func (p *program) migrateCommand() *cobra.Command {
	c := &cobra.Command{Use: "migrate", Short: "Bring the database to this version's schema"}
	for _, sub := range []struct {
		name, short string
		run         func(context.Context, *opened) error
	}{
		{"up", "Apply what is missing (serve does it too)", migrateUp},
		{"status", "List migrations", p.migrateStatus},
	} {
		cmd := &cobra.Command{Use: sub.name, Short: sub.short, Args: args(cobra.NoArgs)}
		load := p.configFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			o := &opened{cfg: cfg, log: p.logger(cfg)}
			defer o.close()
			return sub.run(cmd.Context(), o)
		}
		c.AddCommand(cmd)
	}
	return c
}

// migrateUp brings the schema up to date. With SQLite it takes the data directory for that, as the hub does.
func migrateUp(ctx context.Context, o *opened) error {
	if !o.cfg.postgres() {
		if err := o.openData(); err != nil {
			return err
		}
	}
	if err := o.openDatabase(ctx, o.cfg.database()); err != nil {
		return err
	}
	return migrations.Up(ctx, o.db)
}

// migrateStatus lists migrations. A database that is not there yet is not made by asking: it is as an empty one elsewhere.
func (p *program) migrateStatus(ctx context.Context, o *opened) error {
	address := o.cfg.database()
	if u, err := url.Parse(address); err == nil && u.Scheme == "sqlite" {
		if _, err := os.Stat(filepath.FromSlash(u.Path)); errors.Is(err, fs.ErrNotExist) {
			dir, err := os.MkdirTemp("", "hallmark-")
			if err != nil {
				return err
			}
			o.closes = append(o.closes, func() error { return os.RemoveAll(dir) })
			address = pathURL("sqlite", filepath.Join(dir, "empty.db"))
		}
	}
	if err := o.openDatabase(ctx, address); err != nil {
		return err
	}
	list, err := migrations.List(ctx, o.db)
	for _, m := range list {
		state := "missing"
		if m.Applied {
			state = "applied"
		}
		fmt.Fprintf(p.stdout, "%-8s %04d %s\n", state, m.Version, m.Name)
	}
	return err
}
