package main

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// exceptionBody is the body of POST /projects/NAME/exceptions. A nil field is left out.
type exceptionBody struct {
	Vulnerability string    `json:"vulnerability"`
	PURL          *string   `json:"purl,omitempty"`
	Repository    *string   `json:"repository,omitempty"`
	Reason        string    `json:"reason"`
	ExpiresAt     time.Time `json:"expires_at"`
}

func (c *cli) createException() *cobra.Command {
	var body exceptionBody
	var purl, repository, expires string
	cmd := c.creator("exception VULNERABILITY", "Answer for a vulnerability in a project, until a day",
		"  hallmark create exception CVE-2024-3094 --project team --repository team/app --expires 30d --reason 'sshd is not in it'",
		func(ctx context.Context, cl *client.Client, vulnerability string) error {
			if c.project == "" || expires == "" || body.Reason == "" {
				return usagef("an exception needs --project, --expires and --reason")
			}
			life, err := parseLife(expires)
			if err != nil {
				return err
			}
			body.Vulnerability, body.PURL, body.Repository = vulnerability, given(purl), given(repository)
			body.ExpiresAt = time.Now().Add(time.Duration(*life) * time.Second).UTC().Truncate(time.Second)
			a, err := cl.Call(ctx, http.MethodPost, client.Path("projects", c.project, "exceptions"), body, "")
			if err != nil {
				return err
			}
			v, err := decoded[struct{ ID string }](a)
			if err != nil {
				return err
			}
			return c.made("exception", v.ID, a)
		})
	c.addProject(cmd)
	cmd.Flags().StringVar(&purl, "purl", "", "only in this package; without a version in every version of it")
	cmd.Flags().StringVar(&repository, "repository", "", "only in this repository, by its whole name")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it holds, such as 12h or 30d; at most a year")
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why the vulnerability does no harm there")
	return cmd
}
