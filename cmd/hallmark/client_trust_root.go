package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) trustRootCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "trust-root", Short: "Manage the trust roots that vouch for identities", Args: args(cobra.NoArgs), RunE: sayWhat}
	add := &cobra.Command{Use: "add NAME FILE", Short: "Make or change a trust root", Args: args(cobra.ExactArgs(2)),
		Long:    "FILE is a trusted_root.json, such as cosign trusted-root create writes. Without --project it is the hub's, for every project.",
		Example: "  hallmark trust-root add ours trusted_root.json",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			text, err := c.readText(given[1])
			if err != nil {
				return err
			}
			t, err := c.findNamed("trust-root", given[0])
			if err != nil {
				return err
			}
			a, err := c.put(ctx, cl, t, text)
			if err != nil {
				return err
			}
			return c.made("trust-root", given[0], a)
		})}
	c.addProject(add)
	c.addOutput(add)
	list := &cobra.Command{Use: "list", Short: "List the trust roots", Args: args(cobra.NoArgs),
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error {
			return c.get(ctx, cl, "trust-roots", "")
		})}
	c.addProject(list)
	c.addOutput(list)
	cmd.AddCommand(add, list, c.remover("trust-root", "trust-root", "Remove a trust root", "What only it vouched for does not count any more."))
	return cmd
}

// sentBody is the body of what is a text.
func sentBody(document string) map[string]string { return map[string]string{"document": document} }

// put makes or changes what is a text.
func (c *cli) put(ctx context.Context, cl *client.Client, t target, document string) (*client.Answer, error) {
	path, tag := t.list+client.Path(t.item), ""
	now, err := cl.Call(ctx, http.MethodGet, path, nil, "")
	switch {
	case err == nil:
		tag = now.ETag()
	case client.Code(err) != "not_found":
		return nil, err
	}
	return cl.Call(ctx, http.MethodPut, path, sentBody(document), tag)
}

// maxText is how much of a file is read: more is neither a key nor a policy nor a trust root.
const maxText = 1 << 20

// readText reads a file, or standard input if it is -.
func (c *cli) readText(file string) (string, error) {
	var in io.Reader = c.lines
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usageError{err}
		}
		defer f.Close()
		in = f
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(in, maxText+1))
	if err == nil && n > maxText {
		err = errors.New("the file is too large")
	}
	if err != nil {
		return "", usagef("%s: %w", file, err)
	}
	return b.String(), nil
}

// decoded reads an answer.
func decoded[T any](a *client.Answer) (v T, err error) { return v, json.Unmarshal(a.Body, &v) }
