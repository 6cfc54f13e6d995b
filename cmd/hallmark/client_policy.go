package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Manage what has to hold before something may be pulled", Args: args(cobra.NoArgs), RunE: sayWhat}
	cmd.AddCommand(c.policyPut(), c.policyList(), c.policyShow(), c.policyDryRun(),
		c.remover("policy", "policy", "Remove a pull policy", "From the next pull on it is not asked any more."))
	return cmd
}

// readPolicy reads a policy and finds where it belongs: into the project that it names, else to the hub. Whether it can work
// the hub says.
func (c *cli) readPolicy(file string) (t target, text string, err error) {
	if text, err = c.readText(file); err != nil {
		return t, "", err
	}
	var head struct {
		Kind     string
		Document string // where it is what the hub shows of a policy (get policy NAME -o yaml)
		Metadata struct{ Name, Project string }
	}
	err = yaml.Unmarshal([]byte(text), &head)
	if shown := head.Document; err == nil && head.Kind == "" && shown != "" {
		text, head.Document = shown, ""
		err = yaml.Unmarshal([]byte(text), &head)
	}
	if err != nil {
		return t, "", usagef("%s: %w; it is one PullPolicy in YAML or JSON: hallmark policy show NAME writes one", file, err)
	}
	if head.Metadata.Name == "" {
		return t, "", usagef("%s: metadata.name is missing: how is the policy called?", file)
	}
	c.project = head.Metadata.Project
	t, err = c.findNamed("policy", head.Metadata.Name)
	return t, text, err
}

func (c *cli) policyPut() *cobra.Command {
	cmd := &cobra.Command{Use: "put FILE", Short: "Make or change a pull policy", Args: args(cobra.ExactArgs(1)),
		Long: "FILE is a PullPolicy in YAML or JSON, or what \"get policy NAME -o yaml\" writes; - is standard input. It belongs to the project in its metadata, or to the hub if there is none.\n" +
			"What it would refuse says: hallmark policy dry-run FILE.",
		Example: "  hallmark policy put signed.yaml",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			t, text, err := c.readPolicy(given[0])
			if err != nil {
				return err
			}
			a, err := c.put(ctx, cl, t, text)
			if err != nil {
				return err
			}
			return c.made("policy", strings.TrimPrefix(t.project+"/"+t.item, "/"), a)
		})}
	c.addOutput(cmd)
	return cmd
}

func (c *cli) policyList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the pull policies", Args: args(cobra.NoArgs),
		Long: "Those of the hub, which hold in every project, or those that a project has besides.",
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error { return c.get(ctx, cl, "policies", "") })}
	c.addProject(cmd)
	c.addOutput(cmd)
	return cmd
}

func (c *cli) policyShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a pull policy as it was written", Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeKind("policy"),
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			t, err := c.findNamed("policy", given[0])
			if err != nil {
				return err
			}
			a, err := c.read(ctx, cl, t)
			if err != nil {
				return err
			}
			if c.output == "json" || c.output == "yaml" {
				return c.print([]json.RawMessage{a.Body}, nil, true)
			}
			v, err := decoded[struct{ Document string }](a)
			if err != nil {
				return err
			}
			for line := range strings.Lines(v.Document) {
				fmt.Fprintln(c.stdout, clean(strings.TrimRight(line, "\r\n")))
			}
			return nil
		})}
	c.addProject(cmd)
	c.addOutput(cmd)
	return cmd
}

// dryRun is what the hub says of a policy that is not saved.
type dryRun struct {
	Artifacts     int
	Complete      bool
	PullsComplete bool `json:"pulls_complete"`
	Refused       []struct {
		Repository, Digest, Reason string
		Tags                       []string
	}
	Pulls []struct {
		Repository, Digest string
		Pulls              int64
		Principals         []string
	}
	Repair *repair
}

// repair is who alone could let most of it pass.
type repair struct {
	Authority, Fix string
	Identity       *struct{ Subject string }
	Artifacts      int
	Pulls          int64
}

func (c *cli) policyDryRun() *cobra.Command {
	baseline := false
	cmd := &cobra.Command{Use: "dry-run {FILE | --baseline --project PROJECT}", Short: "Say what a pull policy of a project would refuse", Args: args(cobra.MaximumNArgs(1)),
		Long: "Changes nothing. Looks at the newest 1,000 tagged artifacts of the project, and at the pulls of the last 30 days.\n" +
			"With --baseline, what the baseline would refuse of a project in which it only warns or is off.",
		Example: "  hallmark policy dry-run signed.yaml\n  hallmark policy dry-run --baseline --project team",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			t, body, err := c.proposal(given, baseline)
			if err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPost, t.list+client.Path("dry-run"), body, "")
			if err != nil {
				return err
			}
			if c.output == "json" || c.output == "yaml" {
				return c.print([]json.RawMessage{a.Body}, nil, true)
			}
			v, err := decoded[dryRun](a)
			if err != nil {
				return err
			}
			return c.showDryRun(t.project, &v)
		})}
	cmd.Flags().BoolVar(&baseline, "baseline", false, "of the baseline, and not of a file")
	c.addProject(cmd)
	c.addOutput(cmd)
	return cmd
}

// proposal is what a dry run is of.
func (c *cli) proposal(given []string, baseline bool) (t target, body map[string]string, err error) {
	switch {
	case baseline == (len(given) == 1):
		return t, nil, usagef("name the FILE of a policy, or give --baseline and --project")
	case baseline && c.project == "":
		return t, nil, usagef("--project is missing: a dry run is of one project")
	case baseline:
		t, err = c.findNamed("policy", "baseline")
		return t, map[string]string{"baseline": "enforce"}, err
	}
	t, text, err := c.readPolicy(given[0])
	if err == nil && t.project == "" {
		err = usagef("%s: metadata.project is missing: a dry run is of one project", given[0])
	}
	return t, sentBody(text), err
}

func (c *cli) showDryRun(project string, v *dryRun) error {
	of := ""
	if !v.Complete {
		of = "the newest "
	}
	fmt.Fprintf(c.stdout, "Of %s%d tagged artifacts of project %s it would refuse %d.\n", of, v.Artifacts, clean(project), len(v.Refused))
	w := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
	for _, r := range v.Refused {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", clean(r.Repository), clean(shortDigest(r.Digest)), clean(strings.Join(r.Tags, ",")), clean(r.Reason))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	some := ""
	if !v.PullsComplete {
		some = " (not all pulls were looked at)"
	}
	if len(v.Pulls) == 0 {
		fmt.Fprintf(c.stdout, "Of the pulls of the last 30 days it would have refused none%s.\n", some)
	} else {
		fmt.Fprintf(c.stdout, "Of the pulls of the last 30 days it would have refused%s:\n", some)
	}
	for _, p := range v.Pulls {
		fmt.Fprintf(w, "  %s\t%s\t%d pulls\t%s\n", clean(p.Repository), clean(shortDigest(p.Digest)), p.Pulls, clean(strings.Join(p.Principals, ", ")))
	}
	if err := w.Flush(); err != nil || v.Repair == nil {
		return err
	}
	v.Repair.show(c)
	return nil
}

// show says what to do about most of it.
func (r *repair) show(c *cli) {
	worth := fmt.Sprintf("%d of the artifacts and %d of the pulls", r.Artifacts, r.Pulls)
	if r.Identity == nil {
		fmt.Fprintf(c.stdout, "What repairs most of it: if %s vouched for them as is wanted, %s would pass.\n", clean(r.Authority), worth)
		return
	}
	fmt.Fprintf(c.stdout, "What repairs most of it: %s has signed already. Registered, %s would pass:\n  %s\n", clean(r.Identity.Subject), worth, clean(r.Fix))
}

// shortDigest is a digest as people compare them.
func shortDigest(d string) string { return d[:min(len(d), 19)] }
