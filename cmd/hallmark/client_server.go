package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// connectHub makes a client that is the local operator, and what ends it. It is either the socket of the hub that runs, or
// a hub opened for this one command.
type connectHub func(ctx context.Context) (cl *client.Client, done func(), err error)

// socketClient reaches the hub that runs through its socket. An error that is syscall.ECONNREFUSED says that none runs: there
// is no socket, or one that a hub left behind when it was killed.
func socketClient(ctx context.Context, path string) (*client.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no hub is running here: nobody answers at %s: %w", path, syscall.ECONNREFUSED)
	case err != nil:
		return nil, fmt.Errorf("the socket of the hub cannot be opened; it is for the user the hub runs as: %w", err)
	}
	return client.Socket(path), conn.Close()
}

// serverCommands are the commands of a hub's operator that the admin API does: they need no password, but access to the
// data directory. Everything they do is audited as the local operator's.
func serverCommands(connect connectHub, stdin io.Reader, stdout, stderr io.Writer) []*cobra.Command {
	s := &operatorCommands{cli: &cli{getenv: func(string) string { return "" }, stdin: stdin, lines: bufio.NewReader(stdin), stdout: stdout, stderr: stderr},
		connect: connect}
	user := &cobra.Command{Use: "user", Short: "Manage users of the hub in this data directory", Args: args(cobra.NoArgs), RunE: sayWhat}
	user.AddCommand(s.userAdd(), s.userPasswd(), s.userList())
	keys := &cobra.Command{Use: "keys", Short: "Manage the hub's own keys", Args: args(cobra.NoArgs), RunE: sayWhat}
	keys.AddCommand(s.keysRotate())
	return []*cobra.Command{user, keys}
}

func sayWhat(cmd *cobra.Command, _ []string) error {
	return usagef("say what: see %s --help", cmd.CommandPath())
}

type operatorCommands struct {
	*cli
	connect connectHub
}

// with runs f with a client of the hub.
func (s *operatorCommands) with(f func(ctx context.Context, cl *client.Client, given []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, given []string) error {
		if err := s.checkOutput(); err != nil {
			return err
		}
		cl, done, err := s.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return f(cmd.Context(), cl, given)
	}
}

func (s *operatorCommands) userAdd() *cobra.Command {
	var email, displayName string
	var admin bool
	cmd := &cobra.Command{Use: "add NAME", Short: "Make a user", Args: args(cobra.ExactArgs(1)),
		Long: "Asks for the password, or reads a line of standard input where nobody sits in front."}
	cmd.Flags().StringVar(&email, "email", "", "e-mail address")
	cmd.Flags().StringVar(&displayName, "display-name", "", "name to show")
	cmd.Flags().BoolVar(&admin, "admin", false, "may do everything everywhere")
	cmd.RunE = s.with(func(ctx context.Context, cl *client.Client, named []string) error {
		password, err := s.readSecret("Password of " + named[0])
		if err != nil {
			return err
		}
		a, err := cl.Call(ctx, http.MethodPost, "/users", userBody{named[0], password, given(email), given(displayName)}, "")
		if err != nil {
			return err
		}
		if admin {
			if _, err := cl.Call(ctx, http.MethodPatch, client.Path("users", named[0]), struct {
				Admin bool `json:"admin"`
			}{true}, a.ETag()); err != nil {
				return fmt.Errorf("the user was made, but not an administrator: %w", err)
			}
		}
		return s.made("user", named[0], a)
	})
	return cmd
}

func (s *operatorCommands) userPasswd() *cobra.Command {
	return &cobra.Command{Use: "passwd NAME", Short: "Set the password of a user, and end the user's sessions", Args: args(cobra.ExactArgs(1)),
		RunE: s.with(func(ctx context.Context, cl *client.Client, named []string) error {
			password, err := s.readSecret("New password of " + named[0])
			if err != nil {
				return err
			}
			if _, err := cl.Call(ctx, http.MethodPut, client.Path("users", named[0], "password"), struct {
				Password string `json:"password"`
			}{password}, ""); err != nil {
				return err
			}
			fmt.Fprintf(s.stdout, "user/%s has a new password\n", clean(named[0]))
			return nil
		})}
}

func (s *operatorCommands) userList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the users", Args: args(cobra.NoArgs),
		RunE: s.with(func(ctx context.Context, cl *client.Client, _ []string) error {
			k, err := findKind("users")
			if err != nil {
				return err
			}
			items := []json.RawMessage{}
			err = cl.List(ctx, "/users?limit=200", 0, func(item json.RawMessage) error {
				items = append(items, item)
				return nil
			})
			if err != nil {
				return err
			}
			return s.print(items, k.columns, false)
		})}
	s.addOutput(cmd)
	return cmd
}

func (s *operatorCommands) keysRotate() *cobra.Command {
	return &cobra.Command{Use: "rotate", Short: "Make a new key for signing registry tokens", Args: args(cobra.NoArgs),
		Long: "New tokens are signed with it at once. Those that are out stay valid until they expire (limits.token_life).",
		RunE: s.with(func(ctx context.Context, cl *client.Client, _ []string) error {
			if _, err := cl.Call(ctx, http.MethodPost, "/keys/rotate", nil, ""); err != nil {
				return err
			}
			fmt.Fprintln(s.stdout, "Registry tokens are signed with a new key")
			return nil
		})}
}
