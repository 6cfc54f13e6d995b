package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api/client"
)

// localCommands are the commands of whoever has the data directory: they talk to the hub that runs on it through its
// socket, and open the store themselves only when none does.
func (p *program) localCommands() []*cobra.Command {
	var data string
	commands := serverCommands(func(ctx context.Context) (*client.Client, func(), error) {
		flags := map[string]string{}
		if data != "" {
			flags["data"] = data
		}
		cfg, err := loadConfig(p.getenv("HALLMARK_CONFIG_FILE"), without(p.environ, "HALLMARK_CONFIG_FILE"), flags)
		if err != nil {
			return nil, nil, err
		}
		c, err := socketClient(ctx, filepath.Join(cfg.dataDir(), "hallmark.sock"))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return c, func() {}, err
		}
		return p.openHub(ctx, cfg)
	}, p.stdin, p.stdout, p.stderr)
	for _, c := range commands {
		c.PersistentFlags().StringVar(&data, "data", "", "data directory of the hub; also HALLMARK_DATA")
	}
	return commands
}

// openHub opens the store for one command, under the lock that keeps other processes out.
func (p *program) openHub(ctx context.Context, cfg *Config) (*client.Client, func(), error) {
	log := p.logger(cfg)
	o := &opened{cfg: cfg, log: log, access: log}
	if err := o.open(ctx); err != nil {
		o.close()
		return nil, nil, err
	}
	h, err := wire(ctx, o)
	if err != nil {
		o.close()
		return nil, nil, err
	}
	operator := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.public.ServeHTTP(w, r.WithContext(core.WithPrincipal(r.Context(), core.Operator())))
	})
	return client.Local(operator), o.close, nil
}
