package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) jobCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "Work with what the hub does in the background",
		Long: "Works with what the hub does in the background. `hallmark get jobs` lists it, `hallmark get schedules` what makes jobs at times."}
	one := func(use, short string, run func(ctx context.Context, cl *client.Client, path string) error) *cobra.Command {
		return &cobra.Command{Use: use + " ID", Short: short, Args: args(cobra.ExactArgs(1)),
			ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
				if len(given) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return c.completeList(cmd.Context(), "/jobs?limit=200", "id"), cobra.ShellCompDirectiveNoFileComp
			},
			RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
				return run(ctx, cl, client.Path("jobs", given[0]))
			})}
	}
	change := func(what, said string) func(context.Context, *client.Client, string) error {
		return func(ctx context.Context, cl *client.Client, path string) error {
			if _, err := cl.Call(ctx, http.MethodPost, path+"/"+what, nil, ""); err != nil {
				return err
			}
			fmt.Fprintln(c.stdout, said)
			return nil
		}
	}
	cmd.AddCommand(
		one("log", "Print the log of a job", c.jobLog),
		one("watch", "Follow a job to its end: the status is 1 unless it is done", c.jobWatch),
		one("cancel", "Stop a job", change("cancel", "The job will stop.")),
		one("retry", "Run a job again that failed, died or was cancelled", change("retry", "The job is queued again.")))
	return cmd
}

// jobLine is a line of a job's log.
type jobLine struct{ At, Text string }

func (c *cli) printLine(raw json.RawMessage) error {
	var l jobLine
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	at, err := json.Marshal(l.At)
	if err == nil {
		fmt.Fprintln(c.stdout, cell("at", at), clean(l.Text))
	}
	return err
}

func (c *cli) jobLog(ctx context.Context, cl *client.Client, path string) error {
	return cl.List(ctx, path+"/log?limit=200", 0, c.printLine)
}

// jobWatch prints what a job says and how far it is. A stream that breaks off, as when the process ends that serves it, is
// begun again where it was as long as the hub answers.
func (c *cli) jobWatch(ctx context.Context, cl *client.Client, path string) error {
	last, state, shown := "", "", ""
	for state == "" {
		heard := false
		err := cl.Follow(ctx, path+"/events", last, func(e client.Event) error {
			heard = true
			if e.Name == "log" {
				last = e.ID
				return c.printLine(e.Data)
			}
			var j struct {
				State, Message, Error string
				Progress              int
			}
			if err := json.Unmarshal(e.Data, &j); err != nil {
				return err
			}
			if e.Name == "end" {
				state = j.State
				return nil
			}
			text := fmt.Sprintf("%s %d%% %s", clean(j.State), j.Progress, clean(j.Message))
			if j.Error != "" {
				text += " (" + clean(j.Error) + ")"
			}
			if text != shown {
				shown = text
				fmt.Fprintln(c.stdout, text)
			}
			return nil
		})
		if err != nil && (!heard || ctx.Err() != nil) {
			return err
		}
		if err == nil && state == "" && !heard {
			return errors.New("the hub ended the stream without a word")
		}
	}
	if state != "done" {
		return fmt.Errorf("the job is %s", state)
	}
	return nil
}
