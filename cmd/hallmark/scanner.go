package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Where the databases of the scanner lie in the hub itself.
const (
	vulnerabilityDatabase = store.SystemProject + "/trivy-db"
	javaDatabase          = store.SystemProject + "/trivy-java-db"
)

// isScanner takes what HALLMARK_SCANNER may be.
func isScanner(s string) error {
	switch path, exec := strings.CutPrefix(s, "exec:"); {
	case s == "", s == "off", exec && (path == "" || filepath.IsAbs(path)):
		return nil
	}
	if err := hasScheme("http", "https")(s); err != nil {
		return errors.New("is none of exec:, exec:/path, http://host:port, https://host and off")
	}
	return nil
}

// scanner is HALLMARK_SCANNER, with what it is if nobody says: where several processes may share a database, each would run one.
func (c *Config) scanner() string {
	switch s := c.String("scanner"); {
	case s != "":
		return s
	case c.postgres():
		return "off"
	}
	return "exec:"
}

// runsScanner reports whether this process runs the scanner as a child.
func (c *Config) runsScanner() bool {
	return strings.HasPrefix(c.scanner(), "exec:") && c.hasRole("jobservice")
}

// scannerElsewhere is the address of a scanner that somebody else runs, "" without one.
func (c *Config) scannerElsewhere() string {
	if s := c.scanner(); strings.HasPrefix(s, "http") {
		return s
	}
	return ""
}

// checkScanner refuses settings that would do nothing.
func (c *Config) checkScanner() error {
	if c.scannerElsewhere() == "" {
		for _, key := range []string{"scanner_token", "scanner_registry"} {
			if c.String(key) != "" {
				return errors.New(key + " is for a scanner that runs elsewhere: set HALLMARK_SCANNER to its address, or remove it")
			}
		}
	} else if c.String("scanner_database") != "" {
		return errors.New("scanner_database is for the scanner that the hub runs: one that runs elsewhere has SCANNER_DATABASE")
	}
	if c.String("scanner_java_database") != "" && c.String("scanner_database") == "" {
		return errors.New("scanner_java_database goes with scanner_database: set both or none")
	}
	return nil
}

// scannerBinary is the program that exec: means.
func (c *Config) scannerBinary() (string, error) {
	if path := strings.TrimPrefix(c.scanner(), "exec:"); path != "" {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "scanner-adapter"), nil
}

// makeSystemProject makes the project of what the hub itself needs, where there is none.
func (h *hub) makeSystemProject(ctx context.Context) error {
	ctx = core.WithPrincipal(ctx, core.System())
	_, err := h.store.ProjectByName(ctx, store.SystemProject)
	if core.CodeOf(err) != core.CodeNotFound {
		return err
	}
	_, err = h.store.CreateProject(ctx, store.NewProject{Name: store.SystemProject, Visibility: core.Private, Baseline: core.BaselineOff,
		Description: "What the hub itself needs: the databases of its scanner."})
	if core.CodeOf(err) == core.CodeConflict {
		return nil // another process was first
	}
	return err
}
