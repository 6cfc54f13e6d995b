package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

type projectPatch struct {
	Visibility  *string `json:"visibility,omitempty"`
	Baseline    *string `json:"baseline,omitempty"`
	Description *string `json:"description,omitempty"`
	Attach      *bool   `json:"attach_verdicts,omitempty"`
}

func (c *cli) projectCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "project", Short: "Change projects", Args: args(cobra.NoArgs), RunE: sayWhat}
	cmd.AddCommand(c.projectSet())
	return cmd
}

func (c *cli) projectSet() *cobra.Command {
	var visibility, baseline, description, attach string
	cmd := &cobra.Command{Use: "set NAME", Short: "Change settings of a project", Args: args(cobra.ExactArgs(1)),
		Example: "  hallmark project set team --baseline warn", ValidArgsFunction: c.completeKind("project")}
	cmd.RunE = c.run(func(ctx context.Context, cl *client.Client, named []string) error {
		patch := projectPatch{Visibility: given(visibility), Baseline: given(baseline)}
		if cmd.Flags().Changed("description") {
			patch.Description = &description
		}
		switch attach {
		case "":
		case "on", "off":
			on := attach == "on"
			patch.Attach = &on
		default:
			return usagef("--attach-verdicts is on or off, and %q is neither", attach)
		}
		if patch == (projectPatch{}) {
			return usagef("say what to change: see %s --help", cmd.CommandPath())
		}
		path := client.Path("projects", named[0])
		now, err := cl.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return err
		}
		a, err := cl.Call(ctx, http.MethodPatch, path, patch, now.ETag())
		if err != nil {
			return err
		}
		return c.made("project", named[0], a)
	})
	c.addOutput(cmd)
	choice := func(name string, into *string, help string, values ...string) {
		cmd.Flags().StringVar(into, name, "", help)
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	choice("baseline", &baseline, "enforce, warn or off: how the hub's own policy holds", "enforce", "warn", "off")
	choice("visibility", &visibility, "public or private", "public", "private")
	choice("attach-verdicts", &attach, "on or off: whether the hub attaches its verdict to what may be pulled", "on", "off")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}
