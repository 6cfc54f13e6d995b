package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// packageFlags are those of get that are about packages alone.
type packageFlags struct {
	purl     string
	format   string
	platform string
	unsigned bool
	pulls    bool
	fixed    bool
}

func (c *cli) addPackageFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.packages.purl, "purl", "", "packages: show which images have this one, a package URL with or without @VERSION")
	cmd.Flags().BoolVar(&c.packages.unsigned, "include-unsigned", false, "packages: look into documents too that nobody who is registered has signed")
	cmd.Flags().BoolVar(&c.packages.fixed, "fixed", false, "packages: also on which newer tags of its repository each is fixed")
	cmd.Flags().BoolVar(&c.packages.pulls, "pulls", false, "packages: also who pulled the images of your projects (with -o json or yaml)")
	cmd.Flags().StringVar(&c.packages.format, "format", "", "sbom: print the document as it was signed: spdx or cyclonedx")
	c.addPlatform(cmd)
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"spdx", "cyclonedx"}, cobra.ShellCompDirectiveNoFileComp))
}

func (c *cli) addPlatform(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.packages.platform, "platform", "", "packages, sbom: one image of an index, os/architecture[/variant]")
}

// getPackages shows the packages of an image, or which images have one.
func (c *cli) getPackages(ctx context.Context, cl *client.Client, k kind, name string) error {
	v := url.Values{"limit": {"200"}}
	path, columns := client.Path("packages"), []string{"full_name", "tags", "version", "source", "trusted", "signer", "digest"}
	switch {
	case c.packages.purl != "" && name != "":
		return usagef("name an image, or a package with --purl, not both")
	case c.packages.purl != "":
		v.Set("purl", c.packages.purl)
		if c.project != "" {
			v.Set("project", c.project)
		}
		if c.packages.unsigned {
			v.Set("include", "unsigned")
		}
		if c.packages.pulls {
			v.Set("pulls", "true")
		}
		if c.packages.fixed {
			v.Set("fixed", "true")
			columns = slices.Insert(columns, 3, "fixed_by")
		}
	case name == "":
		return usagef("name an image, as PROJECT/REPOSITORY:TAG, or the package that you look for with --purl")
	default:
		var err error
		if cl, path, err = c.artifact(ctx, cl, name, "packages"); err != nil {
			return err
		}
		columns = k.columns
		c.choosePlatform(v)
	}
	if len(c.filters) > 0 {
		return usagef("packages have no filters: see hallmark get --help")
	}
	items := []json.RawMessage{}
	err := cl.List(ctx, path+"?"+v.Encode(), c.limit, func(item json.RawMessage) (err error) {
		if c.packages.fixed && (c.output == "" || c.output == "table") {
			item, err = fixesAsText(item)
		}
		items = append(items, item)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(items, columns, false)
}

// fixesAsText makes one text of each tag on which a package is fixed.
func fixesAsText(item json.RawMessage) (json.RawMessage, error) {
	var hit map[string]any
	if err := json.Unmarshal(item, &hit); err != nil {
		return nil, err
	}
	var fixes struct {
		By []struct {
			Tag, Change string
			Versions    []string
		} `json:"fixed_by"`
	}
	if err := json.Unmarshal(item, &fixes); err != nil {
		return nil, err
	}
	texts := []string{}
	for _, f := range fixes.By {
		now := strings.Join(f.Versions, " ")
		if len(f.Versions) == 0 {
			now = f.Change
		}
		texts = append(texts, f.Tag+" ("+now+")")
	}
	hit["fixed_by"] = texts
	return json.Marshal(hit)
}

// getSBOMs lists the bills of materials of an image, or prints one.
func (c *cli) getSBOMs(ctx context.Context, cl *client.Client, k kind, name string) error {
	if name == "" {
		return usagef("name an image, as PROJECT/REPOSITORY:TAG")
	}
	cl, path, err := c.artifact(ctx, cl, name, "sbom")
	if err != nil {
		return err
	}
	v := url.Values{}
	c.choosePlatform(v)
	if c.packages.format != "" {
		v.Set("format", c.packages.format)
	}
	a, err := cl.Call(ctx, http.MethodGet, path+"?"+v.Encode(), nil, "")
	if err != nil {
		return err
	}
	if c.packages.format != "" {
		switch {
		case a.Header.Get("Hallmark-Trusted") != "true":
			fmt.Fprintln(c.stderr, "Nobody who is registered has signed this document.")
		case a.Header.Get("Hallmark-Source") == "scanner":
			fmt.Fprintln(c.stderr, "The hub's scanner has made this document.")
		}
		_, err := c.stdout.Write(a.Body)
		return err
	}
	items, err := decoded[[]json.RawMessage](a)
	if err != nil {
		return err
	}
	return c.print(items, k.columns, false)
}

func (c *cli) choosePlatform(v url.Values) {
	if c.packages.platform != "" {
		v.Set("platform", c.packages.platform)
	}
}

// artifact is the path of something of an artifact that is named [HOST/]PROJECT/REPOSITORY[:TAG|@DIGEST], and the hub that it is on.
func (c *cli) artifact(ctx context.Context, cl *client.Client, name, what string) (*client.Client, string, error) {
	if c.project != "" {
		name = c.project + "/" + name
	}
	i, err := parseImage(name)
	if err == nil && i.host != "" {
		cl, err = c.hubOf(ctx, &i)
	}
	if err != nil {
		return nil, "", err
	}
	path, err := i.artifactPath(what)
	return cl, path, err
}

// artifactPath is the path of something of the artifact.
func (i *image) artifactPath(more ...string) (string, error) {
	project, path, ok := strings.Cut(i.repository, "/")
	if !ok {
		return "", usagef("name the image as PROJECT/REPOSITORY, such as library/%s", i.repository)
	}
	reference := i.tag
	if i.digest != "" {
		reference = string(i.digest)
	}
	return client.Path(append([]string{"projects", project, "repositories", path, "artifacts", reference}, more...)...), nil
}

func (c *cli) diffCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "diff IMAGE IMAGE", Short: "Show what packages differ between two images", Args: args(cobra.ExactArgs(2)),
		Long:              "Compares the bills of materials of two images of one repository: what went from the first to the second.",
		Example:           "  hallmark diff team/app:1.0 team/app:1.1",
		ValidArgsFunction: c.completeImages,
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			return c.explain(c.diff(cmd.Context(), given[0], given[1]))
		}}
	c.addPlatform(cmd)
	c.addOutput(cmd)
	return cmd
}

func (c *cli) diff(ctx context.Context, from, to string) error {
	a, err := parseImage(from)
	if err != nil {
		return err
	}
	b, err := parseImage(to)
	if err != nil {
		return err
	}
	if a.host != b.host || a.repository != b.repository {
		return usagef("both images have to be in one repository")
	}
	cl, err := c.hubOf(ctx, &b)
	if err != nil {
		return err
	}
	path, err := b.artifactPath("packages", "diff")
	if err != nil {
		return err
	}
	v := url.Values{"against": {a.tag + string(a.digest)}}
	c.choosePlatform(v)
	answer, err := cl.Call(ctx, http.MethodGet, path+"?"+v.Encode(), nil, "")
	if err != nil {
		return err
	}
	if c.output == "json" || c.output == "yaml" {
		return c.print([]json.RawMessage{answer.Body}, nil, true)
	}
	d, err := decoded[struct {
		Trusted, Complete bool
		Changes           []json.RawMessage
	}](answer)
	if err != nil {
		return err
	}
	if !d.Trusted {
		fmt.Fprintln(c.stderr, "Nobody who is registered has signed all that was compared.")
	}
	if !d.Complete {
		fmt.Fprintln(c.stderr, "There are more changes than are shown.")
	}
	return c.print(d.Changes, []string{"change", "purl", "from", "to"}, false)
}

// completeImages completes the names of repositories.
func (c *cli) completeImages(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return c.completeNames(cmd, []string{"artifacts"}, typed)
}
