package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hallmarkhub/hallmark/core/api/client"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
)

// webhookBody is the body of PUT ../webhooks/NAME, and what of a webhook is shown. A nil field is left out.
type webhookBody struct {
	Channel      string   `json:"channel"`
	URL          *string  `json:"url,omitempty"`
	Secret       *string  `json:"secret,omitempty"`
	To           []string `json:"to,omitempty"`
	Events       []string `json:"events"`
	Repositories []string `json:"repositories,omitempty"`
	MinSeverity  string   `json:"min_severity,omitempty"`
	Lang         string   `json:"lang,omitempty"`
	Paused       bool     `json:"paused,omitempty"`
}

// webhookFlags are what is typed of a webhook.
type webhookFlags struct {
	webhookBody
	url, paused string
	secret      bool
}

func (c *cli) addWebhookFlags(cmd *cobra.Command) *webhookFlags {
	f := &webhookFlags{}
	choice := func(name string, into *string, help string, values ...string) {
		cmd.Flags().StringVar(into, name, "", help)
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	var channels, types []string
	for _, channel := range store.Channels() {
		channels = append(channels, string(channel))
	}
	for _, t := range event.Types() {
		types = append(types, string(t))
	}
	choice("channel", &f.Channel, "how it is told: http (as it is, if nothing is said), email, feishu, dingtalk, wecom or slack", channels...)
	cmd.Flags().StringVar(&f.url, "url", "", "where to send; - asks for it, or reads a line: those of chats have their key in them")
	cmd.Flags().BoolVar(&f.secret, "secret", false, "ask for what to sign with, or read a line; an empty one: nothing is signed")
	cmd.Flags().StringSliceVar(&f.To, "to", nil, "addresses of email, separated by commas")
	cmd.Flags().StringSliceVar(&f.Events, "events", nil, "what is told, separated by commas, such as artifact.pushed, artifact.* or '*'")
	_ = cmd.RegisterFlagCompletionFunc("events", cobra.FixedCompletions(types, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringSliceVar(&f.Repositories, "repositories", nil, "only of these, by their whole names with * and **")
	choice("min-severity", &f.MinSeverity, "the least that artifact.vulnerable tells: Low, Medium, High ..", "Unknown", "Negligible", "Low", "Medium", "High", "Critical")
	choice("lang", &f.Lang, "en or zh: of mail and chats", "en", "zh")
	choice("paused", &f.paused, "on or off: what happens meanwhile it is not told", "on", "off")
	return f
}

// webhookTyped puts what was typed over b, and asks for what is not typed because others would see it.
func (c *cli) webhookTyped(flags *pflag.FlagSet, f *webhookFlags, b *webhookBody) error {
	paused, err := onOff("paused", f.paused)
	if err != nil {
		return err
	}
	if paused != nil {
		b.Paused = *paused
	}
	for name, copied := range map[string]func(){
		"channel": func() { b.Channel = f.Channel }, "url": func() { b.URL = &f.url }, "to": func() { b.To = f.To }, "events": func() { b.Events = f.Events },
		"repositories": func() { b.Repositories = f.Repositories }, "min-severity": func() { b.MinSeverity = f.MinSeverity }, "lang": func() { b.Lang = f.Lang },
	} {
		if flags.Changed(name) {
			copied()
		}
	}
	if f.url == "-" {
		if f.url, err = c.readSecret("URL"); err != nil {
			return err
		}
	}
	if f.secret {
		text, err := c.readSecret("Secret to sign with")
		if err != nil {
			return err
		}
		b.Secret = &text
	}
	return nil
}

func (c *cli) createWebhook() *cobra.Command {
	var f *webhookFlags
	var cmd *cobra.Command
	cmd = c.creator("webhook NAME", "Have somebody told what happens, in a project or in the hub",
		"  echo \"$SECRET\" | hallmark create webhook ci --project team --url https://ci.example.org/hook --secret --events artifact.pushed,tag.*\n"+
			"  echo \"$URL\" | hallmark create webhook ops --channel slack --url - --events job.dead,artifact.vulnerable --min-severity High\n"+
			"  hallmark create webhook team/owners --channel email --to ada@example.org --events 'artifact.*' --lang zh",
		func(ctx context.Context, cl *client.Client, name string) error {
			t, err := c.findNamed("webhook", name)
			if err != nil {
				return err
			}
			if len(f.Events) == 0 {
				return usagef("say with --events what is told, such as --events 'artifact.*'")
			}
			b := webhookBody{Channel: string(store.ChannelHTTP)}
			if err := c.webhookTyped(cmd.Flags(), f, &b); err != nil {
				return err
			}
			path := t.list + client.Path(t.item)
			a, err := cl.Call(ctx, http.MethodPut, path, b, "")
			if client.Code(err) == "if_match_needed" {
				return fmt.Errorf("there is a webhook %s already; to change it: hallmark webhook set %[1]s", clean(name))
			}
			if err != nil {
				return err
			}
			if err := c.made("webhook", name, a); err != nil || b.Paused {
				return err
			}
			if err := c.testWebhook(ctx, cl, path); err != nil {
				return fmt.Errorf("it was saved, but it does not work yet: %w", err)
			}
			return nil
		})
	cmd.Long = "Without --project (or PROJECT/NAME) it is told of every project; administrators only. What it needs of the operator, and how a\n" +
		"receiver verifies what comes: docs/webhooks.md. What is saved stays saved if a test does not reach anybody: then this says so, and fails."
	f = c.addWebhookFlags(cmd)
	c.addProject(cmd)
	return cmd
}

func (c *cli) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "webhook", Short: "Change and try who is told what happens", Args: args(cobra.NoArgs), RunE: sayWhat,
		Long: "Changes and tries who is told what happens. They are made with `hallmark create webhook`, listed with `hallmark get webhooks`, and removed\n" +
			"with `hallmark delete webhook`; what one was told: `hallmark get deliveries --webhook NAME`."}
	cmd.AddCommand(c.webhookSet(), c.webhookTest(), c.webhookRedeliver())
	return cmd
}

func (c *cli) webhookSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME", Short: "Change a webhook", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: c.completeKind("webhook"),
		Long:    "Changes what is given, and leaves the rest as it is. A new secret signs beside the one before it for a day; another host needs its own.",
		Example: "  hallmark webhook set ci --project team --paused off\n  echo \"$SECRET\" | hallmark webhook set team/ci --secret"}
	f := c.addWebhookFlags(cmd)
	cmd.RunE = c.run(func(ctx context.Context, cl *client.Client, named []string) error {
		t, err := c.findNamed("webhook", named[0])
		if err != nil {
			return err
		}
		if !slices.ContainsFunc([]string{"channel", "url", "secret", "to", "events", "repositories", "min-severity", "lang", "paused"}, cmd.Flags().Changed) {
			return usagef("say what to change: see %s --help", cmd.CommandPath())
		}
		now, err := c.read(ctx, cl, t)
		if err != nil {
			return err
		}
		b, err := decoded[webhookBody](now)
		if err != nil {
			return err
		}
		if err := c.webhookTyped(cmd.Flags(), f, &b); err != nil {
			return err
		}
		a, err := cl.Call(ctx, http.MethodPut, t.list+client.Path(t.item), b, now.ETag())
		if err != nil {
			return err
		}
		return c.made("webhook", named[0], a)
	})
	c.addProject(cmd)
	c.addOutput(cmd)
	return cmd
}

func (c *cli) webhookTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test NAME", Short: "Send a test, and say what came back: the status is 1 unless it was taken", Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeKind("webhook"), Example: "  hallmark webhook test ci --project team",
		RunE: c.run(func(ctx context.Context, cl *client.Client, named []string) error {
			t, err := c.findNamed("webhook", named[0])
			if err != nil {
				return err
			}
			return t.orList(c.testWebhook(ctx, cl, t.list+client.Path(t.item)))
		})}
	c.addProject(cmd)
	return cmd
}

// testWebhook sends a test to a webhook, and says what came back.
func (c *cli) testWebhook(ctx context.Context, cl *client.Client, path string) error {
	a, err := cl.Call(ctx, http.MethodPost, path+"/test", nil, "")
	if err != nil {
		return err
	}
	v, err := decoded[struct {
		OK              bool
		Message, Answer string
	}](a)
	if err != nil {
		return err
	}
	if !v.OK {
		said := clean(v.Message)
		if v.Answer != "" {
			said += ": " + clean(v.Answer)
		}
		return errors.New(said)
	}
	fmt.Fprintln(c.stderr, "The test was taken.")
	return nil
}
