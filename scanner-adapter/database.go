package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
)

// databaseCommand shows the databases, or brings one in, while no adapter runs on the directory.
func databaseCommand(ctx context.Context, c *config, args []string, stdout io.Writer) error {
	kind := 0
	if len(args) == 3 && args[0] == "import" && args[1] == "--java" {
		kind, args = 1, []string{"import", args[2]}
	}
	if !(len(args) == 1 && args[0] == "show") && !(len(args) == 2 && args[0] == "import") {
		return usagef("usage:\n%s", usage)
	}
	a, err := open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.lock.Close()
	if args[0] == "import" {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		k := a.databases[kind].Kind
		if err := a.store.Import(ctx, k, "import", true, func(dir string) error { return database.Unpack(ctx, k, f, dir) }); err != nil {
			return err
		}
	}
	all := map[string]database.State{}
	for _, d := range a.databases {
		all[d.Kind.Name] = d.State()
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
