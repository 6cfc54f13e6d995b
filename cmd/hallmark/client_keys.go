package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

type identityBody struct {
	TrustRoot    string            `json:"trust_root"`
	Issuer       string            `json:"issuer"`
	Subject      string            `json:"subject,omitempty"`
	SubjectRegex string            `json:"subject_regex,omitempty"`
	Extensions   map[string]string `json:"extensions,omitempty"`
	WithoutSCT   bool              `json:"without_sct,omitempty"`
	WithoutLog   bool              `json:"without_log,omitempty"`
}

type authorityBody struct {
	Description string        `json:"description,omitempty"`
	PublicKey   string        `json:"public_key,omitempty"`
	Identity    *identityBody `json:"identity,omitempty"`
	NotAfter    string        `json:"not_after,omitempty"`
}

// keysCommand is what has to do with the keys that sign images. On the hub's machine its own keys are added to it (root).
func (c *cli) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make keys that sign, and manage whose signatures count", Args: args(cobra.NoArgs), RunE: sayWhat}
	cmd.AddCommand(c.keysAdd(), c.keysGenerate(), c.keysList(), c.keysRevoke(), c.keysDelete(), c.keysHub())
	return cmd
}

func (c *cli) keysAdd() *cobra.Command {
	var body authorityBody
	cmd := &cobra.Command{Use: "add NAME FILE", Short: "Register a public key", Args: args(cobra.ExactArgs(2)),
		Long:    "From now on its signatures count: in the project, or without --project in every project of the hub, which is for administrators.",
		Example: "  hallmark keys add release cosign.pub --project team",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			text, err := c.readText(given[1])
			if err != nil {
				return err
			}
			body.PublicKey = text
			return c.register(ctx, cl, "key", given[0], body)
		})}
	c.addProject(cmd)
	c.addOutput(cmd)
	cmd.Flags().StringVar(&body.Description, "description", "", "whose it is")
	cmd.Flags().StringVar(&body.NotAfter, "not-after", "", "when it runs out, such as 2027-01-01T00:00:00Z")
	return cmd
}

func (c *cli) identityCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "identity", Short: "Register identities whose signatures count", Args: args(cobra.NoArgs), RunE: sayWhat}
	cmd.AddCommand(c.identityAdd())
	return cmd
}

func (c *cli) identityAdd() *cobra.Command {
	var body authorityBody
	var id identityBody
	cmd := &cobra.Command{Use: "add NAME", Short: "Register whom a certificate authority vouches for", Args: args(cobra.ExactArgs(1)),
		Long: "From now on what they sign without a key of their own counts: in the project, or without --project in every project of the hub.\n" +
			"Identities are listed, revoked and deleted like keys: hallmark keys list.",
		Example: "  hallmark identity add ci --project team --issuer https://token.actions.githubusercontent.com \\\n" +
			"    --subject-regex 'https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/v.*'",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			body.Identity = &id
			return c.register(ctx, cl, "identity", given[0], body)
		})}
	c.addProject(cmd)
	c.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&id.TrustRoot, "trust-root", "public-good", "the trust root that vouches")
	f.StringVar(&id.Issuer, "issuer", "", "who says who somebody is")
	f.StringVar(&id.Subject, "subject", "", "e-mail address or URI in the certificate")
	f.StringVar(&id.SubjectRegex, "subject-regex", "", "or an expression for the whole of it")
	f.StringToStringVar(&id.Extensions, "extension", nil, "NAME=VALUE that the certificate has as well")
	f.BoolVar(&id.WithoutSCT, "without-sct", false, "do without a certificate log, for private instances")
	f.BoolVar(&id.WithoutLog, "without-log", false, "do without a transparency log, for private instances")
	f.StringVar(&body.Description, "description", "", "whose it is")
	names := c.completeKind("trust-root")
	// The flag was added just now, so there is nothing to fail.
	_ = cmd.RegisterFlagCompletionFunc("trust-root", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return names(cmd, nil, typed)
	})
	return cmd
}

// register makes an authority that is not there yet. It is never put in the place of another one.
func (c *cli) register(ctx context.Context, cl *client.Client, noun, name string, body authorityBody) error {
	t, err := c.findNamed("authority", name)
	if err != nil {
		return err
	}
	a, err := cl.Call(ctx, http.MethodPut, t.list+client.Path(t.item), body, "")
	if client.Code(err) == "if_match_needed" {
		return fmt.Errorf("there is another %s already: choose another name, or remove that one first with: hallmark keys delete %s", clean(name), clean(name))
	}
	if err != nil {
		return err
	}
	return c.made(noun, name, a)
}

func (c *cli) keysList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the keys and identities", Args: args(cobra.NoArgs),
		Long: "Those of the hub, or those that a project has besides.",
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error {
			return c.get(ctx, cl, "authorities", "")
		})}
	c.addProject(cmd)
	c.addOutput(cmd)
	return cmd
}

func (c *cli) keysHub() *cobra.Command {
	return &cobra.Command{Use: "hub", Short: "Print the public key that the hub states its verdicts with", Args: args(cobra.NoArgs),
		Long:    "For whoever checks the attestations that the hub attaches where a project has attach_verdicts on.",
		Example: "  hallmark keys hub > hub.pem\n  cosign verify-attestation --key hub.pem --type https://slsa.dev/verification_summary/v1 --insecure-ignore-tlog hub.example/team/app:1",
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error {
			a, err := cl.Call(ctx, http.MethodGet, client.Path("keys", "hub.pem"), nil, "")
			if err != nil {
				return err
			}
			_, err = c.stdout.Write(a.Body)
			return err
		})}
}

func (c *cli) keysRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME", Short: "End all trust in a key or an identity", Args: args(cobra.ExactArgs(1)),
		Long:              "At once, for all that it has ever signed, and whoever else registered it. This cannot be undone.",
		ValidArgsFunction: c.completeKind("authority"),
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			t, err := c.findNamed("authority", given[0])
			if err != nil {
				return err
			}
			if _, err := cl.Call(ctx, http.MethodPost, t.list+client.Path(t.item, "revoke"), nil, ""); err != nil {
				return t.orList(err)
			}
			fmt.Fprintf(c.stdout, "key/%s revoked\n", clean(given[0]))
			return nil
		})}
	c.addProject(cmd)
	return cmd
}

func (c *cli) keysDelete() *cobra.Command {
	return c.remover("authority", "key", "Remove a key or an identity", "What it has signed does not count any more. A key that somebody else may have is better revoked.")
}

// remover is a command that removes one thing of a kind, under the name that people have for it here.
func (c *cli) remover(kindName, noun, short, long string) *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "delete NAME", Short: short, Long: long, Args: args(cobra.ExactArgs(1)), ValidArgsFunction: c.completeKind(kindName),
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			t, err := c.findNamed(kindName, given[0])
			if err != nil {
				return err
			}
			t.name = noun
			insist := ""
			if force {
				insist = "force"
			}
			return c.delete(ctx, cl, t, given[0], insist)
		})}
	c.addProject(cmd)
	if kindName != "policy" {
		addForce(cmd, &force)
	}
	return cmd
}

// completeKind completes the name of one thing of a kind.
func (c *cli) completeKind(kindName string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.completeNames(cmd, []string{kindName}, typed)
	}
}
