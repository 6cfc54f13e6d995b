package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// verdict is what the hub says of an artifact.
type verdict struct {
	Repository, Digest, Exempt, Message string
	Allowed                             bool
	Policies                            []struct {
		Name, Project, Mode, Outcome, Exempt, Wants string
		Reasons                                     []struct{ Text, Fix string }
		Found                                       []struct {
			Kind, Signer, Text string
			PredicateType      string `json:"predicate_type"`
			Counts             bool
		}
		Passing []struct{ ID, Severity, Where, By, Exception, Reason, Signer string }
		Omitted int `json:"passing_omitted"`
	}
}

func (c *cli) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "verify IMAGE", Short: "Say whether an image may be pulled, and why", Args: args(cobra.ExactArgs(1)),
		Long:    "Asks the hub for its verdict. The status is 0 if the image may be pulled by whoever may pull and nothing more, and 1 if not.",
		Example: "  hallmark verify team/app:1.0\n  hallmark verify hub.example.org/team/app@sha256:... -o json",
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			return c.explain(c.verify(cmd.Context(), given[0]))
		}}
	c.addOutput(cmd)
	return cmd
}

func (c *cli) verify(ctx context.Context, named string) error {
	i, err := parseImage(named)
	if err != nil {
		return err
	}
	cl, err := c.hubOf(ctx, &i)
	if err != nil {
		return err
	}
	path, err := i.artifactPath("verdict")
	if err != nil {
		return err
	}
	a, err := cl.Call(ctx, http.MethodGet, path, nil, "")
	if err != nil {
		return err
	}
	v, err := decoded[verdict](a)
	if err != nil {
		return err
	}
	if c.output == "json" || c.output == "yaml" {
		err = c.print([]json.RawMessage{a.Body}, nil, true)
	} else {
		c.showVerdict(&v)
	}
	if err == nil && !v.Allowed {
		err = fmt.Errorf("%s may not be pulled", clean(named))
	}
	return err
}

// hubOf makes a client of the hub that an image's name means.
func (c *cli) hubOf(ctx context.Context, i *image) (*client.Client, error) {
	config, err := c.readConfig()
	if err != nil {
		return nil, err
	}
	address, err := c.addressOf(config, i.host)
	if err != nil {
		return nil, err
	}
	cl, err := client.New(address)
	if err != nil {
		return nil, err
	}
	known, err := c.credentials(ctx, config, address)
	if known.Password != "" {
		cl.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+known.Password) }
	}
	return cl, err
}

func (c *cli) showVerdict(v *verdict) {
	say := func(format string, args ...any) {
		for i := range args {
			if s, ok := args[i].(string); ok {
				args[i] = clean(s)
			}
		}
		fmt.Fprintf(c.stdout, format+"\n", args...)
	}
	word := "refused"
	if v.Allowed {
		word = "allowed"
	}
	say("%s: %s@%s", word, v.Repository, v.Digest)
	if v.Exempt != "" {
		say("  it is not asked for trust: %s", v.Exempt)
	}
	for _, p := range v.Policies {
		say("  policy %s (%s): %s", p.Name, p.Mode, p.Outcome)
		say("    wants %s", p.Wants)
		for _, r := range p.Reasons {
			say("    missing: %s", r.Text)
			if r.Fix != "" {
				say("      put it right with: %s", r.Fix)
			}
		}
		for _, f := range p.Found {
			by := "somebody who is not known"
			if f.Signer != "" {
				by = f.Signer
			}
			if f.Counts {
				say("    found: %s by %s, which counts", f.Kind, by)
			} else {
				say("    found: %s by %s, which does not count: %s", f.Kind, by, f.Text)
			}
		}
		for _, f := range p.Passing {
			say("    passes: %s %s in %s, by %s %s", f.ID, f.Severity, f.Where, f.By, cmp.Or(f.Exception, f.Reason, f.Signer))
		}
		if p.Omitted > 0 {
			say("    passes: further ones: %d", p.Omitted)
		}
	}
}
