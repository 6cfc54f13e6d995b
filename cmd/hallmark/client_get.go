package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get KIND [NAME]", Short: "Show what there is", Args: args(cobra.RangeArgs(1, 2)),
		Long: "Shows a list, or one item of it.\n\nKinds: " + strings.Join(kindNames(), ", ") + ".\n" +
			"What belongs to a project is named PROJECT/NAME, or NAME with --project; what belongs to a repository\n" +
			"PROJECT/REPOSITORY, PROJECT/REPOSITORY:TAG or PROJECT/REPOSITORY@DIGEST.",
		Example: "  hallmark get projects\n  hallmark get members --project team\n  hallmark get tags team/app\n" +
			"  hallmark get artifact team/app:1.0 -o yaml\n  hallmark get packages --purl pkg:golang/golang.org/x/text\n" +
			"  hallmark get packages team/app:1.0\n  hallmark get sbom team/app:1.0 --format spdx\n  hallmark get vulnerabilities team/app:1.0 --filter severity=High\n  hallmark get vulnerabilities --id CVE-2022-32149\n  hallmark get audit --filter 'action=project.*' --limit 20",
		ValidArgsFunction: c.completeNames,
	}
	get := c.run(func(ctx context.Context, cl *client.Client, given []string) error {
		return c.get(ctx, cl, given[0], strings.Join(given[1:], ""))
	})
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		k, err := findKind(given[0])
		c.files = err == nil && k.name == "vulnerability"
		return get(cmd, given)
	}
	c.addProject(cmd)
	c.addOutput(cmd)
	c.addPackageFlags(cmd)
	c.addWebhook(cmd)
	cmd.Flags().StringVar(&c.vulnerability, "id", "", "vulnerabilities: show which images have this one, by its id or an alias")
	cmd.Flags().IntVar(&c.limit, "limit", 0, "at most so many items (default: all)")
	cmd.Flags().StringArrayVar(&c.filters, "filter", nil, "NAME=VALUE, a filter that the API has for this list; may be given several times")
	return cmd
}

func (c *cli) get(ctx context.Context, cl *client.Client, kindName, name string) error {
	k, err := findKind(kindName)
	if err != nil {
		return err
	}
	switch k.name {
	case "package":
		return c.getPackages(ctx, cl, k, name)
	case "sbom":
		return c.getSBOMs(ctx, cl, k, name)
	case "vulnerability":
		return c.getVulnerabilities(ctx, cl, k, name)
	case "delivery":
		return c.getDeliveries(ctx, cl, k, name)
	}
	t, err := c.find(k, name)
	if err != nil {
		return err
	}
	if t.item == "" {
		query, err := c.query()
		if err != nil {
			return err
		}
		items := []json.RawMessage{}
		err = cl.List(ctx, t.list+query, c.limit, func(item json.RawMessage) error {
			items = append(items, item)
			return nil
		})
		if err != nil {
			return err
		}
		return c.print(items, k.columns, false)
	}
	item, err := c.read(ctx, cl, t)
	if err != nil {
		return err
	}
	return c.print([]json.RawMessage{item.Body}, k.columns, true)
}

// read reads one item.
func (c *cli) read(ctx context.Context, cl *client.Client, t target) (*client.Answer, error) {
	if t.in == inMe { // tokens are only listed
		var found *client.Answer
		err := cl.List(ctx, t.list+"?limit=200", 0, func(item json.RawMessage) error {
			var v map[string]json.RawMessage
			if err := json.Unmarshal(item, &v); err != nil {
				return err
			}
			if plainText(v["id"]) == t.item || plainText(v[t.key]) == t.item {
				found = &client.Answer{Body: item}
			}
			return nil
		})
		if err == nil && found == nil {
			err = notThere(t)
		}
		return found, err
	}
	path, err := t.path(ctx, cl)
	if err != nil {
		return nil, err
	}
	a, err := cl.Call(ctx, http.MethodGet, path, nil, "")
	return a, t.orList(err)
}

// completeNames completes a kind, then what there is of it.
func (c *cli) completeNames(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	switch len(given) {
	case 0:
		return kindNames(), none
	case 1:
		k, err := findKind(given[0])
		if err != nil || k.noItem {
			return nil, none
		}
		if k.in == inRepository || c.project == "" && (k.in == inProject || k.in == inEither && strings.Contains(typed, "/")) {
			if project, _, ok := strings.Cut(typed, "/"); !ok {
				return suffixed(c.completeProjects(cmd.Context(), typed), "/"), none | cobra.ShellCompDirectiveNoSpace
			} else {
				return prefixed(project+"/", c.completeKeys(cmd.Context(), repositoriesFor(k), project+"/")), none
			}
		}
		return c.completeKeys(cmd.Context(), k, ""), none
	}
	return nil, none
}

// repositoriesFor is the kind whose names begin the names of k.
func repositoriesFor(k kind) kind {
	if k.in != inRepository {
		return k
	}
	repositories, _ := findKind("repository")
	return repositories
}

func suffixed(names []string, suffix string) []string {
	for i := range names {
		names[i] += suffix
	}
	return names
}

func prefixed(prefix string, names []string) []string {
	for i := range names {
		names[i] = prefix + names[i]
	}
	return names
}

// completeLimit is how many names are offered.
const completeLimit = 100

func (c *cli) completeProjects(ctx context.Context, typed string) []string {
	return c.completeList(ctx, "/projects?limit=200&q="+url.QueryEscape(typed), "name")
}

func (c *cli) completeKeys(ctx context.Context, k kind, typed string) []string {
	t, err := c.find(k, typed)
	if err != nil {
		return nil
	}
	return c.completeList(ctx, t.list+"?limit=200", k.key)
}

// completeList is silent about whatever goes wrong: a shell is no place for errors.
func (c *cli) completeList(ctx context.Context, path, key string) []string {
	cl, err := c.connect()
	if err != nil {
		return nil
	}
	var names []string
	_ = cl.List(ctx, path, completeLimit, func(item json.RawMessage) error {
		var v map[string]json.RawMessage
		if err := json.Unmarshal(item, &v); err != nil {
			return err
		}
		names = append(names, clean(plainText(v[key])))
		return nil
	})
	return names
}
