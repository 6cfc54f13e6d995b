package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// scanLook is how often it is asked how far a scan is.
const scanLook = time.Second

func (c *cli) scanCommand() *cobra.Command {
	var all, noWait bool
	cmd := &cobra.Command{Use: "scan [IMAGE]", Short: "Have images scanned now", Args: args(cobra.MaximumNArgs(1)),
		Example: "  hallmark scan team/app:1.0\n  hallmark scan --project team\n  hallmark scan --all",
		Long: "Has an image scanned, or each image of an index, those of a project, or all there are, and waits until that is done: the status is 1\n" +
			"if it failed. Stopping this command does not stop the scan: that does hallmark job cancel, or DELETE of what --no-wait prints."}
	cmd.RunE = c.run(func(ctx context.Context, cl *client.Client, named []string) error {
		path, err := c.scanPath(named, all)
		if err != nil {
			return err
		}
		a, err := cl.Call(ctx, http.MethodPost, path, nil, "")
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(a.Header.Get("Location"), client.Base)
		if noWait {
			fmt.Fprintln(c.stdout, at)
			return nil
		}
		return c.scanWatch(ctx, cl, at)
	})
	cmd.Flags().StringVar(&c.project, "project", "", "all images of this project")
	cmd.Flags().BoolVar(&all, "all", false, "all images of the hub; administrators only")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "print where the scan can be asked after, and end")
	_ = cmd.RegisterFlagCompletionFunc("project", c.completeKind("project"))
	return cmd
}

func (c *cli) scanPath(named []string, all bool) (string, error) {
	switch {
	case len(named) == 1 && c.project == "" && !all:
		i, err := parseImage(named[0])
		if err != nil {
			return "", err
		}
		reference := i.tag
		if i.digest != "" {
			reference = string(i.digest)
		}
		project, path, found := strings.Cut(i.repository, "/")
		if !found {
			project, path = "library", i.repository
		}
		return client.Path("projects", project, "repositories", path, "artifacts", reference, "scan"), nil
	case len(named) == 0 && c.project != "" && !all:
		return client.Path("projects", c.project, "scan"), nil
	case len(named) == 0 && c.project == "" && all:
		return client.Path("scans"), nil
	}
	return "", usagef("say what to scan: an image, --project NAME or --all")
}

// scanWatch says how far a scan is until it ends. Who may have images scanned need not be one of those who may follow jobs.
func (c *cli) scanWatch(ctx context.Context, cl *client.Client, path string) error {
	t := time.NewTicker(scanLook)
	defer t.Stop()
	for shown := ""; ; {
		a, err := cl.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return err
		}
		j, err := decoded[struct {
			State, Message, Error string
			Progress, Done, Total int64
		}](a)
		if err != nil {
			return err
		}
		text := clean(j.State)
		if j.Total > 0 {
			text += fmt.Sprintf(" %d of %d", j.Done, j.Total)
		}
		if j.Message != "" {
			text += ": " + clean(j.Message)
		}
		if text != shown {
			shown = text
			fmt.Fprintln(c.stdout, text)
		}
		switch j.State {
		case "done":
			return nil
		case "failed", "dead", "cancelled":
			return fmt.Errorf("the scan is %s: %s", clean(j.State), clean(j.Error))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
