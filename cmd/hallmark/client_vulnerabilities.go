package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// getVulnerabilities shows the vulnerabilities of an image or of a project, which images have one, or which there are.
func (c *cli) getVulnerabilities(ctx context.Context, cl *client.Client, k kind, name string) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	switch {
	case c.vulnerability != "" && name != "":
		return usagef("name an image, or a vulnerability with --id, not both")
	case c.vulnerability != "":
		return c.getAffected(ctx, cl, query)
	case name == "" && c.project == "":
		return c.listVulnerabilities(ctx, cl, client.Path("vulnerabilities")+query, []string{"id", "severity", "title"})
	case name == "":
		columns := []string{"full_name", "tags"}
		for _, column := range []string{"id", "severity", "package", "version", "fixed", "title"} {
			columns = append(columns, "finding."+column)
		}
		return c.listVulnerabilities(ctx, cl, client.Path("projects", c.project, "vulnerabilities")+query, columns)
	}
	cl, path, err := c.artifact(ctx, cl, name, "vulnerabilities")
	if err != nil {
		return err
	}
	if c.packages.platform != "" {
		query += "&platform=" + url.QueryEscape(c.packages.platform)
	}
	return c.listVulnerabilities(ctx, cl, path+query, k.columns)
}

// listVulnerabilities prints a list of findings, or the file that the hub makes of it, and says why there can be more.
func (c *cli) listVulnerabilities(ctx context.Context, cl *client.Client, path string, columns []string) error {
	file := c.output == "csv" || c.output == "sarif"
	if file {
		path += "&format=" + c.output
	}
	items, missing := []json.RawMessage{}, ""
	for page := 0; path != "" && (c.limit == 0 || len(items) < c.limit); page++ {
		a, err := cl.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return err
		}
		path, missing = a.Next(), a.Header.Get("Hallmark-Missing")
		if file {
			if err := c.writeFile(a.Body, page); err != nil {
				return err
			}
			if c.limit > 0 {
				break
			}
			continue
		}
		some, err := decoded[[]json.RawMessage](a)
		if err != nil {
			return err
		}
		items = append(items, some...)
	}
	if missing != "" {
		fmt.Fprintln(c.stderr, "There can be more: "+clean(missing))
	}
	if file {
		return nil
	}
	if c.limit > 0 && len(items) > c.limit {
		items = items[:c.limit]
	}
	return c.print(items, columns, false)
}

// writeFile writes a page of a file as it came; from the second one on without the line that names the columns.
func (c *cli) writeFile(text []byte, page int) error {
	if page > 0 {
		_, rest, _ := strings.Cut(string(text), "\n")
		text = []byte(rest)
	}
	_, err := c.stdout.Write(text)
	return err
}

// getAffected shows what a vulnerability is, and which images have it.
func (c *cli) getAffected(ctx context.Context, cl *client.Client, query string) error {
	if c.output == "csv" || c.output == "sarif" {
		return usagef("-o %s is for the vulnerabilities of an image or a project", c.output)
	}
	if c.project != "" {
		query += "&project=" + url.QueryEscape(c.project)
	}
	var all map[string]json.RawMessage
	affected := []json.RawMessage{}
	for path := client.Path("vulnerabilities", c.vulnerability) + query; path != "" && (c.limit == 0 || len(affected) < c.limit); {
		a, err := cl.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return err
		}
		page, err := decoded[map[string]json.RawMessage](a)
		if err != nil {
			return err
		}
		var some []json.RawMessage
		if err := json.Unmarshal(page["affected"], &some); err != nil {
			return err
		}
		if all == nil {
			all = page
		}
		affected, path = append(affected, some...), a.Next()
	}
	if c.limit > 0 && len(affected) > c.limit {
		affected = affected[:c.limit]
	}
	if c.output == "json" || c.output == "yaml" {
		list, err := json.Marshal(affected)
		if err != nil {
			return err
		}
		all["affected"] = list
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return c.print([]json.RawMessage{text}, nil, true)
	}
	fmt.Fprintf(c.stdout, "%s  %s  %s\n", clean(plainText(all["id"])), clean(plainText(all["severity"])), clean(plainText(all["title"])))
	return c.print(affected, []string{"full_name", "tags", "fixed_tags", "excepted", "scanned_at", "digest"}, false)
}

func (c *cli) importCommand() *cobra.Command {
	source := ""
	cmd := &cobra.Command{
		Use: "import aliases FILE", Short: "Import other names of vulnerabilities", Args: args(cobra.ExactArgs(2)),
		Long: "Puts a list of other names and titles (CNNVD, CNVD, GHSA ..) in the place of the one that the source had, as a whole.\n" +
			"The file is CSV with a first line id,alias,title, or has one JSON object with these on each line; - is standard input.",
		Example:   "  hallmark import aliases cnnvd.csv --source cnnvd",
		ValidArgs: []string{"aliases"},
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			if given[0] != "aliases" {
				return usagef("aliases can be imported, and %q cannot", given[0])
			}
			if source == "" {
				return usagef("whose names are these? Say it with --source, such as --source cnnvd")
			}
			return c.importAliases(ctx, cl, given[1], source)
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "whose names these are, such as cnnvd")
	return cmd
}

func (c *cli) importAliases(ctx context.Context, cl *client.Client, name, source string) error {
	var file io.Reader = c.lines
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		file = f
	}
	a, err := cl.Upload(ctx, client.Path("vulnerability-aliases", source), file)
	if err != nil {
		return err
	}
	s, err := decoded[struct {
		Name    string
		Aliases int64
	}](a)
	if err == nil {
		fmt.Fprintf(c.stdout, "alias/%s imported: %d names\n", clean(s.Name), s.Aliases)
	}
	return err
}
