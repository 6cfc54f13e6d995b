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
	SBOM        *bool   `json:"sbom_on_push,omitempty"`
	Scanner     *string `json:"scanner,omitempty"`
	ScanOnPush  *bool   `json:"scan_on_push,omitempty"`
	Schedule    *string `json:"scan_schedule,omitempty"`
}

func (c *cli) projectCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "project", Short: "Change projects", Args: args(cobra.NoArgs), RunE: sayWhat}
	cmd.AddCommand(c.projectSet())
	return cmd
}

func (c *cli) projectSet() *cobra.Command {
	var visibility, baseline, description, attach, scanner, onPush, schedule, sbom string
	cmd := &cobra.Command{Use: "set NAME", Short: "Change settings of a project", Args: args(cobra.ExactArgs(1)),
		Example: "  hallmark project set team --baseline warn", ValidArgsFunction: c.completeKind("project")}
	cmd.RunE = c.run(func(ctx context.Context, cl *client.Client, named []string) error {
		patch := projectPatch{Visibility: given(visibility), Baseline: given(baseline)}
		if cmd.Flags().Changed("description") {
			patch.Description = &description
		}
		if cmd.Flags().Changed("scanner") {
			patch.Scanner = &scanner
		}
		if cmd.Flags().Changed("scan-schedule") {
			patch.Schedule = &schedule
		}
		var err error
		if patch.Attach, err = onOff("attach-verdicts", attach); err != nil {
			return err
		}
		if patch.ScanOnPush, err = onOff("scan-on-push", onPush); err != nil {
			return err
		}
		if patch.SBOM, err = onOff("sbom-on-push", sbom); err != nil {
			return err
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
	choice("sbom-on-push", &sbom, "on or off: whether scans also make the bill of materials of what nobody has attested one of", "on", "off")
	choice("scan-on-push", &onPush, "on or off: whether images are scanned when they are pushed", "on", "off")
	cmd.Flags().StringVar(&scanner, "scanner", "", "the scanner of its images; empty: the default one")
	cmd.Flags().StringVar(&schedule, "scan-schedule", "", "when all its images are scanned again, such as @weekly or \"30 3 * * 0\"; empty: never")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

// onOff reads a flag that is on, off or not given.
func onOff(flag, value string) (*bool, error) {
	switch value {
	case "":
		return nil, nil
	case "on", "off":
		on := value == "on"
		return &on, nil
	}
	return nil, usagef("--%s is on or off, and %q is neither", flag, value)
}
