package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hallmarkhub/hallmark/scanner-adapter/child"
)

// childCommand is what makes this program a child. Nobody types it.
const childCommand = "child"

// trivyVersion is that of go.mod, which a test compares.
const trivyVersion = "0.74.0"

const usage = `scanner-adapter serve                              answer scan requests (settings: docs/scanner.md)
scanner-adapter database show                      how old the databases are, and what is wrong with them
scanner-adapter database import [--java] FILE      bring in a database (db.tar.gz, javadb.tar.gz) without a network
scanner-adapter version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "scanner-adapter:", err)
	var u usageError
	if errors.As(err, &u) {
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError ends the program with status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == childCommand {
		return child.Run(ctx, stdin, stdout)
	}
	switch strings.Join(args, " ") {
	case "version":
		fmt.Fprintln(stdout, "scanner-adapter, with Trivy", trivyVersion)
		return nil
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return nil
	}
	c, err := load(environ)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0, len(args) == 1 && args[0] == "serve":
		return serve(ctx, c, stderr)
	case args[0] == "database":
		return databaseCommand(ctx, c, args[1:], stdout)
	}
	return usagef("there is no command %q\n%s", strings.Join(args, " "), usage)
}
