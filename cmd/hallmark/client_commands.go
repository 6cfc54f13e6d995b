package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// clientCommands are the commands that people use against a hub over the network.
func clientCommands(getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) []*cobra.Command {
	c := &cli{getenv: getenv, stdin: stdin, lines: bufio.NewReader(stdin), stdout: stdout, stderr: stderr}
	commands := []*cobra.Command{c.loginCommand(), c.logoutCommand(), c.getCommand(), c.createCommand(), c.applyCommand(),
		c.deleteCommand(), c.promoteCommand(), c.signCommand(), c.attestCommand(), c.verifyCommand(), c.diffCommand(), c.scanCommand(), c.importCommand(),
		c.keysCommand(), c.identityCommand(), c.trustRootCommand(), c.policyCommand(), c.projectCommand(), c.webhookCommand(), c.jobCommand(), c.passwdCommand()}
	for _, command := range commands {
		command.PersistentFlags().StringVar(&c.server, "server", "", "address of the hub; also HALLMARK_SERVER (default: where you logged in last)")
	}
	return commands
}

// cli is what the client commands share.
type cli struct {
	getenv         func(string) string
	stdin          io.Reader
	lines          *bufio.Reader // of stdin
	stdout, stderr io.Writer

	server  string // --server
	output  string // -o
	project string // --project
	limit   int
	filters []string

	packages packageFlags

	vulnerability string // --id
	webhook       string // --webhook
	files         bool   // -o may be csv or sarif
}

// connect makes a client of the hub that is meant, with the credentials there are for it.
func (c *cli) connect() (*client.Client, error) {
	config, err := c.readConfig()
	if err != nil {
		return nil, err
	}
	address := c.server
	if address == "" {
		address = c.getenv("HALLMARK_SERVER")
	}
	if address == "" {
		address = config.Current
	}
	if address == "" {
		return nil, errors.New("which hub? Log in first with: hallmark login ADDRESS")
	}
	if address, err = client.Address(address); err != nil {
		return nil, usageError{err}
	}
	token := c.getenv("HALLMARK_TOKEN")
	if known := config.find(address); token == "" && known != nil {
		token = known.Token
	}
	cl, err := client.New(address)
	if err != nil {
		return nil, err
	}
	if token != "" {
		cl.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	return cl, nil
}

// explain adds what to type next to a refusal.
func (c *cli) explain(err error) error {
	switch client.Code(err) {
	case "unauthenticated":
		return fmt.Errorf("%w\nLog in with: hallmark login", err)
	case "stale":
		return fmt.Errorf("%w\nRun the command again.", err)
	}
	return err
}

// run makes a function of a command out of one that needs a hub.
func (c *cli) run(f func(ctx context.Context, cl *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := c.checkOutput(); err != nil {
			return err
		}
		cl, err := c.connect()
		if err != nil {
			return err
		}
		return c.explain(f(cmd.Context(), cl, args))
	}
}

// args makes a wrong number of arguments an error of usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; see: %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

// readSecret asks for a password without showing it, or reads a line where nobody sits in front.
func (c *cli) readSecret(prompt string) (string, error) {
	if f, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(c.stderr, prompt+": ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(c.stderr)
		return string(b), err
	}
	line, err := c.lines.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if line == "" && err != nil {
		return "", usagef("no password came on standard input")
	}
	return line, nil
}

// addProject adds --project to a command, with completion.
func (c *cli) addProject(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.project, "project", "", "name of the project")
	// The flag was added just now, so there is nothing to fail.
	_ = cmd.RegisterFlagCompletionFunc("project", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return c.completeProjects(cmd.Context(), typed), cobra.ShellCompDirectiveNoFileComp
	})
}
