package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// registryBody is the body of PUT /registries/NAME. A nil field is left out.
type registryBody struct {
	URL       string  `json:"url"`
	PlainHTTP bool    `json:"plain_http,omitempty"`
	CA        *string `json:"ca_pem,omitempty"`
	TokenHost *string `json:"token_host,omitempty"`
	Username  *string `json:"username,omitempty"`
	Password  *string `json:"password,omitempty"`
}

func (c *cli) createRegistry() *cobra.Command {
	var body registryBody
	var ca, tokenHost, username string
	cmd := c.creator("registry NAME", "Name an existing registry that projects can stand in front of; administrators only",
		"  echo \"$SECRET\" | hallmark create registry old --url https://registry.example.org --username hub\n  hallmark create project team --registry old",
		func(ctx context.Context, cl *client.Client, name string) error {
			body.TokenHost, body.Username = given(tokenHost), given(username)
			if ca != "" {
				text, err := c.readText(ca)
				if err != nil {
					return err
				}
				body.CA = &text
			}
			if username != "" {
				password, err := c.readSecret("Password of " + username + " there")
				if err != nil {
					return err
				}
				body.Password = &password
			}
			path := client.Path("registries", name)
			a, err := cl.Call(ctx, http.MethodPut, path, body, "")
			if err != nil {
				return err
			}
			if err := c.made("registry", name, a); err != nil {
				return err
			}
			return c.checkRegistry(ctx, cl, path)
		})
	cmd.Long = "Asks for the password there if a user name is given, or reads a line of standard input where nobody sits in front. What is saved\n" +
		"stays saved if that registry does not answer: then this says so, and fails."
	cmd.Flags().StringVar(&body.URL, "url", "", "scheme, host and port, such as https://registry.example.org")
	cmd.Flags().BoolVar(&body.PlainHTTP, "plain-http", false, "the URL begins with http://, and that is meant")
	cmd.Flags().StringVar(&ca, "ca", "", "file with the certificates that may have issued its own")
	cmd.Flags().StringVar(&tokenHost, "token-host", "", "host of its token service, if that is another")
	cmd.Flags().StringVar(&username, "username", "", "whom the hub is there")
	return cmd
}

// checkRegistry says whether a registry that was just saved answers.
func (c *cli) checkRegistry(ctx context.Context, cl *client.Client, path string) error {
	a, err := cl.Call(ctx, http.MethodPost, path+"/check", nil, "")
	if err != nil {
		return err
	}
	v, err := decoded[struct {
		OK      bool
		Message string
	}](a)
	if err != nil {
		return err
	}
	if !v.OK {
		return errors.New("it was saved, but it does not work yet: " + clean(v.Message))
	}
	fmt.Fprintln(c.stderr, "It answers.")
	return nil
}
