package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// scannerBody is the body of PUT /scanners/NAME. A nil field is left out.
type scannerBody struct {
	URL         string  `json:"url"`
	CA          *string `json:"ca_pem,omitempty"`
	Username    *string `json:"username,omitempty"`
	Secret      *string `json:"secret,omitempty"`
	RegistryURL *string `json:"registry_url,omitempty"`
	Default     bool    `json:"default,omitempty"`
}

func (c *cli) createScanner() *cobra.Command {
	var body scannerBody
	var ca, username, registryURL string
	var secret bool
	cmd := c.creator("scanner NAME", "Name an adapter that scans images; administrators only",
		"  echo \"$TOKEN\" | hallmark create scanner trivy --url https://scanner.example.org:8443 --secret --default",
		func(ctx context.Context, cl *client.Client, name string) error {
			body.Username, body.RegistryURL = given(username), given(registryURL)
			if ca != "" {
				text, err := c.readText(ca)
				if err != nil {
					return err
				}
				body.CA = &text
			}
			if secret || username != "" {
				text, err := c.readSecret("Token or password there")
				if err != nil {
					return err
				}
				body.Secret = &text
			}
			path := client.Path("scanners", name)
			a, err := cl.Call(ctx, http.MethodPut, path, body, "")
			if err != nil {
				return err
			}
			if err := c.made("scanner", name, a); err != nil {
				return err
			}
			return c.pingScanner(ctx, cl, path)
		})
	cmd.Long = "An adapter speaks Harbor's pluggable-scanner API. With --secret or --username this asks for what the hub presents there, or reads a\n" +
		"line of standard input where nobody sits in front. What is saved stays saved if it does not answer: then this says so, and fails."
	cmd.Flags().StringVar(&body.URL, "url", "", "where its API is, without /api/v1")
	cmd.Flags().StringVar(&ca, "ca", "", "file with the certificates that may have issued its own")
	cmd.Flags().BoolVar(&secret, "secret", false, "it wants a bearer token")
	cmd.Flags().StringVar(&username, "username", "", "it wants a user with a password")
	cmd.Flags().StringVar(&registryURL, "registry-url", "", "where it fetches images of this hub, if not at its usual address")
	cmd.Flags().BoolVar(&body.Default, "default", false, "it scans for projects that name no other")
	return cmd
}

// pingScanner says whether a scanner that was just saved answers.
func (c *cli) pingScanner(ctx context.Context, cl *client.Client, path string) error {
	a, err := cl.Call(ctx, http.MethodPost, path+"/ping", nil, "")
	if err != nil {
		return err
	}
	v, err := decoded[struct{ Problem string }](a)
	if err != nil {
		return err
	}
	if v.Problem != "" {
		return errors.New("it was saved, but it cannot scan yet: " + clean(v.Problem))
	}
	fmt.Fprintln(c.stderr, "It answers.")
	return nil
}
