package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// generateOptions are the flags of keys generate.
type generateOptions struct{ prefix, register, project string }

func (c *cli) keysGenerate() *cobra.Command {
	var o generateOptions
	cmd := &cobra.Command{
		Use: "generate", Short: "Make a key pair to sign with", Args: args(cobra.NoArgs),
		Long: "Makes a pair of keys (ECDSA P-256) in two files, in the form that cosign has for them. The private one is encrypted with a\n" +
			"password: COSIGN_PASSWORD, or it is asked for. Files that are there are never overwritten.",
		Example: "  hallmark keys generate\n  hallmark keys generate --output-key-prefix release --register release --project team",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.project = c.project; o.project != "" && o.register == "" {
				return usagef("under which name is it to be registered in %s? Give --register NAME", o.project)
			}
			return c.explain(c.generateKeys(cmd.Context(), o))
		},
	}
	cmd.Flags().StringVar(&o.prefix, "output-key-prefix", "cosign", "the files are this with .key and .pub behind")
	cmd.Flags().StringVar(&o.register, "register", "", "register the public key under this name, so that what it signs counts: in every project, or in that of --project")
	c.addProject(cmd)
	return cmd
}

func (c *cli) generateKeys(ctx context.Context, o generateOptions) error {
	private, public := o.prefix+".key", o.prefix+".pub"
	for _, name := range []string{private, public} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already and is not overwritten: choose other names with --output-key-prefix", name)
		}
	}
	var hub *client.Client
	if o.register != "" { // before anything is made: without a hub there is nowhere to register it
		var err error
		if hub, err = c.connect(); err != nil {
			return err
		}
	}
	password, err := c.newKeyPassword()
	if err != nil {
		return err
	}
	privateText, publicText, err := trust.GenerateKey([]byte(password))
	if err != nil {
		return err
	}
	if err := writeKeys(private, privateText, public, publicText); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s is the private key: who has it and its password signs as you\n%s is the public key\n", private, public)
	if hub == nil {
		return nil
	}
	if err := c.registerKey(ctx, hub, o, publicText); err != nil {
		return fmt.Errorf("the keys were made, but the public one is not registered: %w", err)
	}
	return nil
}

// registerKey makes the signatures of a key count.
func (c *cli) registerKey(ctx context.Context, hub *client.Client, o generateOptions, public []byte) error {
	path, where := client.Path("authorities", o.register), "in every project"
	if o.project != "" {
		path, where = client.Path("projects", o.project, "authorities", o.register), "in project "+clean(o.project)
	}
	_, err := hub.Call(ctx, http.MethodPut, path, struct {
		PublicKey string `json:"public_key"`
	}{string(public)}, "")
	if err == nil {
		fmt.Fprintf(c.stdout, "key/%s created: its signatures count %s\n", clean(o.register), where)
	}
	return err
}

// writeKeys writes both files or none, and the private one for its owner alone.
func writeKeys(private string, privateText []byte, public string, publicText []byte) error {
	if err := writeNew(private, privateText, 0o600); err != nil {
		return err
	}
	if err := writeNew(public, publicText, 0o644); err != nil {
		_ = os.Remove(private) // made a moment ago, and nobody has signed with it
		return err
	}
	return nil
}

// writeNew makes a file that must not be there yet.
func writeNew(name string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(filepath.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}
