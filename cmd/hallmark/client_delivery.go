package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) webhookRedeliver() *cobra.Command {
	cmd := &cobra.Command{Use: "redeliver ID", Short: "Send once more what a webhook was told", Args: args(cobra.ExactArgs(1)),
		Long:    "Sends a delivery once more, with the same id and all its attempts again; `hallmark get deliveries --webhook NAME` has their ids.",
		Example: "  hallmark webhook redeliver 018f2f6e-1c7e-7d1c-9a43-5a6f0c9a2b11 --webhook ci --project team",
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			t, err := c.deliveries()
			if len(given) > 0 || err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeList(cmd.Context(), t.list+"?limit=200", "id"), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: c.run(func(ctx context.Context, cl *client.Client, named []string) error {
			t, err := c.deliveries()
			if err != nil {
				return err
			}
			if _, err := cl.Call(ctx, http.MethodPost, t.list+client.Path(named[0], "redeliver"), nil, ""); err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "delivery/%s will be sent soon\n", clean(named[0]))
			return nil
		})}
	c.addProject(cmd)
	c.addWebhook(cmd)
	return cmd
}

// addWebhook adds --webhook to a command, with completion.
func (c *cli) addWebhook(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.webhook, "webhook", "", "deliveries: of this webhook")
	names := c.completeKind("webhook")
	// The flag was added just now, so there is nothing to fail.
	_ = cmd.RegisterFlagCompletionFunc("webhook", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return names(cmd, nil, typed)
	})
}

// deliveries is the list of what --webhook was told.
func (c *cli) deliveries() (target, error) {
	if c.webhook == "" {
		return target{}, usagef("deliveries belong to a webhook: name it with --webhook, and its project with --project")
	}
	t, err := c.findNamed("webhook", c.webhook)
	if err != nil {
		return t, err
	}
	if t.item == "" || strings.Contains(t.item, "/") {
		return t, usagef("%q is no name of a webhook", c.webhook)
	}
	t.list, t.item = t.list+client.Path(t.item, "deliveries"), ""
	return t, nil
}

// getDeliveries shows what a webhook was told.
func (c *cli) getDeliveries(ctx context.Context, cl *client.Client, k kind, name string) error {
	t, err := c.deliveries()
	if err != nil {
		return err
	}
	if name != "" {
		return usagef("deliveries are a list: -o json shows all there is of them")
	}
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
