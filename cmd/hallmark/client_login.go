package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) loginCommand() *cobra.Command {
	var user, password string
	var fromStdin bool
	cmd := &cobra.Command{
		Use: "login [ADDRESS]", Short: "Log in to a hub", Args: args(cobra.MaximumNArgs(1)),
		Long: "Logs in to a hub and remembers a personal token for it, never the password.\n" +
			"Instead of a password a personal token (hmp_...) or a robot's secret (hmr_...) may be given.",
		Example: "  hallmark login 127.0.0.1:8080 -u admin\n  cat secret | hallmark login hub.example.org -u alice --password-stdin",
		RunE: func(cmd *cobra.Command, given []string) error {
			address, err := c.loginAddress(given)
			if err != nil {
				return err
			}
			if user == "" {
				return usagef("who are you? Give -u USER")
			}
			if password == "" {
				prompt := "Password of " + user
				if fromStdin {
					prompt = ""
				}
				if password, err = c.readSecret(prompt); err != nil {
					return err
				}
			} else if fromStdin {
				return usagef("-p and --password-stdin exclude each other")
			} else {
				fmt.Fprintln(c.stderr, "Others on this machine can see a password that stands on the command line; --password-stdin hides it.")
			}
			return c.login(cmd.Context(), address, user, password)
		},
	}
	cmd.Flags().StringVarP(&user, "user", "u", "", "user name, or robot$PROJECT+NAME")
	cmd.Flags().StringVarP(&password, "password", "p", "", "password")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (c *cli) loginAddress(given []string) (string, error) {
	address := c.server
	if len(given) > 0 {
		address = given[0]
	}
	if address == "" {
		address = c.getenv("HALLMARK_SERVER")
	}
	if address == "" {
		config, err := c.readConfig()
		if err != nil {
			return "", err
		}
		address = config.Current
	}
	if address == "" {
		return "", usagef("which hub? hallmark login ADDRESS")
	}
	full, err := client.Address(address)
	if err != nil {
		return "", usageError{err}
	}
	if client.Exposed(full) {
		fmt.Fprintf(c.stderr, "Anybody on the way to %s can read your password: use https if the hub has it.\n", full)
	}
	return full, nil
}

// login tries the credentials and remembers a token.
func (c *cli) login(ctx context.Context, address, user, password string) error {
	cl, err := client.New(address)
	if err != nil {
		return err
	}
	cl.Authorize = func(r *http.Request) { r.SetBasicAuth(user, password) }
	me, err := cl.Call(ctx, http.MethodGet, "/users/me", nil, "")
	if err != nil {
		return err
	}
	var who struct{ Username string }
	if err := json.Unmarshal(me.Body, &who); err != nil {
		return fmt.Errorf("%s did not say who you are: is it a hub?", address)
	}
	known := clientHub{Address: address, Username: who.Username, Token: password}
	if !strings.HasPrefix(password, "hmp_") && !strings.HasPrefix(password, "hmr_") {
		if known.Token, known.TokenID, err = makeToken(ctx, cl); err != nil {
			return err
		}
	}
	config, err := c.readConfig()
	if err != nil {
		return err
	}
	if old := config.find(address); old != nil && old.TokenID != "" && old.Username == who.Username {
		// The token of the log-in before is not needed any more. If it cannot be removed it expires by itself.
		_, _ = cl.Call(ctx, http.MethodDelete, "/users/me"+client.Path("tokens", old.TokenID), nil, "")
	}
	config.put(known)
	if err := c.writeConfig(config); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "Logged in to %s as %s\n", address, clean(who.Username))
	return nil
}

// makeToken makes a personal token for this machine.
func makeToken(ctx context.Context, cl *client.Client) (token, id string, err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	name := "hallmark login " + host[:min(len(host), 32)] + " " + strings.ToLower(rand.Text()[:6])
	a, err := cl.Call(ctx, http.MethodPost, "/users/me/tokens", struct {
		Name string `json:"name"`
	}{name}, "")
	if err != nil {
		return "", "", err
	}
	var made struct{ Token, ID string }
	if err := json.Unmarshal(a.Body, &made); err != nil || made.Token == "" {
		return "", "", fmt.Errorf("the hub made no token")
	}
	return made.Token, made.ID, nil
}

func (c *cli) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout [ADDRESS]", Short: "Log out of a hub", Args: args(cobra.MaximumNArgs(1)),
		Long: "Revokes the token that logging in made, and forgets it.",
		RunE: func(cmd *cobra.Command, given []string) error {
			config, err := c.readConfig()
			if err != nil {
				return err
			}
			address := config.Current
			if c.server != "" {
				address = c.server
			}
			if len(given) > 0 {
				address = given[0]
			}
			if address, err = client.Address(address); err != nil {
				return usagef("you are not logged in anywhere")
			}
			known := config.find(address)
			if known == nil {
				return fmt.Errorf("you are not logged in to %s", address)
			}
			if known.TokenID != "" {
				cl, err := client.New(address)
				if err != nil {
					return err
				}
				token := known.Token
				cl.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
				_, err = cl.Call(cmd.Context(), http.MethodDelete, "/users/me"+client.Path("tokens", known.TokenID), nil, "")
				if code := client.Code(err); err != nil && code != "unauthenticated" && code != "not_found" {
					fmt.Fprintf(c.stderr, "The token could not be revoked and stays valid until it expires: %v\n", err)
				}
			}
			config.drop(address)
			if err := c.writeConfig(config); err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "Logged out of %s\n", address)
			return nil
		},
	}
}

func (c *cli) passwdCommand() *cobra.Command {
	return &cobra.Command{
		Use: "passwd", Short: "Change your password", Args: args(cobra.NoArgs),
		Long: "Asks for the current and the new password (two lines of standard input where nobody sits in front). Every session of yours ends; tokens stay valid.",
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error {
			current, err := c.readSecret("Current password")
			if err != nil {
				return err
			}
			next, err := c.readSecret("New password")
			if err != nil {
				return err
			}
			if _, err := cl.Call(ctx, http.MethodPut, "/users/me/password", struct {
				Current string `json:"current_password"`
				New     string `json:"password"`
			}{current, next}, ""); err != nil {
				return err
			}
			fmt.Fprintln(c.stdout, "Password changed")
			return nil
		}),
	}
}
