package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

func (c *cli) createCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make something", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("say what: see %s --help", cmd.CommandPath())
		}}
	cmd.AddCommand(c.createProject(), c.createRegistry(), c.createScanner(), c.createUser(), c.createMember(), c.createRobot(), c.createToken(), c.createLabel(), c.createTag(),
		c.createException(), c.createWebhook())
	return cmd
}

// creator is one command that makes one thing.
func (c *cli) creator(use, short, example string, f func(ctx context.Context, cl *client.Client, name string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: args(cobra.ExactArgs(1)),
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error { return f(ctx, cl, given[0]) })}
	c.addOutput(cmd)
	return cmd
}

// made shows what was made: a sentence, or the whole of it with -o.
func (c *cli) made(kindName, name string, a *client.Answer) error {
	if c.output == "json" || c.output == "yaml" {
		return c.print([]json.RawMessage{a.Body}, nil, true)
	}
	verb := "changed"
	if a.Status == http.StatusCreated {
		verb = "created"
	}
	fmt.Fprintf(c.stdout, "%s/%s %s\n", kindName, clean(name), verb)
	return nil
}

// Bodies of requests. A nil field is left out.
type (
	projectBody struct {
		Name        string  `json:"name"`
		Visibility  string  `json:"visibility"`
		Baseline    *string `json:"baseline,omitempty"`
		Description *string `json:"description,omitempty"`
		Quota       *int64  `json:"quota_bytes,omitempty"`
		Sparse      bool    `json:"sparse_indexes,omitempty"`
		Attach      bool    `json:"attach_verdicts,omitempty"`
		Registry    *string `json:"registry,omitempty"`
	}
	userBody struct {
		Username    string  `json:"username"`
		Password    string  `json:"password"`
		Email       *string `json:"email,omitempty"`
		DisplayName *string `json:"display_name,omitempty"`
	}
	grantBody struct {
		Repository string   `json:"repository"`
		Actions    []string `json:"actions"`
	}
	robotBody struct {
		Name        string      `json:"name"`
		Description *string     `json:"description,omitempty"`
		Permissions []grantBody `json:"permissions"`
		ExpiresIn   *int64      `json:"expires_in,omitempty"`
	}
	tokenBody struct {
		Name      string      `json:"name"`
		ExpiresIn *int64      `json:"expires_in,omitempty"`
		Scopes    []grantBody `json:"scopes,omitempty"`
	}
	labelBody struct {
		Color       string `json:"color"`
		Description string `json:"description"`
	}
)

func (c *cli) createProject() *cobra.Command {
	var public, sparse, attach bool
	var baseline, description, registry string
	var quota int64
	cmd := c.creator("project NAME", "Make a project, which you own", "  hallmark create project team --description 'Our team'",
		func(ctx context.Context, cl *client.Client, name string) error {
			body := projectBody{Name: name, Visibility: "private", Baseline: given(baseline), Description: given(description), Sparse: sparse,
				Attach: attach, Registry: given(registry)}
			if public {
				body.Visibility = "public"
			}
			if quota > 0 {
				body.Quota = &quota
			}
			a, err := cl.Call(ctx, http.MethodPost, "/projects", body, "")
			if err != nil {
				return err
			}
			return c.made("project", name, a)
		})
	cmd.Flags().BoolVar(&public, "public", false, "everybody may pull")
	cmd.Flags().BoolVar(&attach, "attach-verdicts", false, "the hub attaches its verdict to what may be pulled")
	cmd.Flags().BoolVar(&sparse, "sparse-indexes", false, "manifests may be pushed without their layers or children")
	cmd.Flags().StringVar(&baseline, "baseline", "", "enforce, warn or off")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().StringVar(&registry, "registry", "", "the existing registry it stands in front of; administrators only")
	cmd.Flags().Int64Var(&quota, "quota-bytes", 0, "how much it may hold; administrators only")
	return cmd
}

// given is a flag's value, nil if it was not set.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (c *cli) createUser() *cobra.Command {
	var email, displayName string
	cmd := c.creator("user NAME", "Make a user; administrators only", "  echo \"$SECRET\" | hallmark create user alice",
		func(ctx context.Context, cl *client.Client, name string) error {
			password, err := c.readSecret("Password of " + name)
			if err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPost, "/users", userBody{name, password, given(email), given(displayName)}, "")
			if err != nil {
				return err
			}
			return c.made("user", name, a)
		})
	cmd.Long = "Asks for the password, or reads a line of standard input where nobody sits in front."
	cmd.Flags().StringVar(&email, "email", "", "e-mail address")
	cmd.Flags().StringVar(&displayName, "display-name", "", "name to show")
	return cmd
}

func (c *cli) createMember() *cobra.Command {
	var role string
	cmd := c.creator("member USER", "Add a member to a project", "  hallmark create member bob --project team --role developer",
		func(ctx context.Context, cl *client.Client, name string) error {
			t, err := c.findNamed("member", name)
			if err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPut, t.list+client.Path(t.item), struct {
				Role string `json:"role"`
			}{role}, "")
			if err != nil {
				return err
			}
			return c.made("member", t.project+"/"+t.item, a)
		})
	c.addProject(cmd)
	cmd.Flags().StringVar(&role, "role", "guest", "guest, developer, maintainer or owner")
	return cmd
}

// findNamed is find for a kind that is known to exist, with a name.
func (c *cli) findNamed(kindName, name string) (target, error) {
	k, err := findKind(kindName)
	if err != nil {
		return target{}, err
	}
	return c.find(k, name)
}

func (c *cli) createRobot() *cobra.Command {
	var description, expires string
	var allow []string
	cmd := c.creator("robot NAME", "Make a robot in a project and show its secret, once", "  hallmark create robot ci --project team --allow '**=pull,push' --expires 30d",
		func(ctx context.Context, cl *client.Client, name string) error {
			t, err := c.findNamed("robot", name)
			if err != nil {
				return err
			}
			body := robotBody{Name: t.item, Description: given(description)}
			if body.Permissions, err = parseGrants("--allow", allow); err != nil {
				return err
			}
			if body.ExpiresIn, err = parseLife(expires); err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPost, t.list, body, "")
			if err != nil {
				return err
			}
			return c.showSecret("robot", a)
		})
	c.addProject(cmd)
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().StringArrayVar(&allow, "allow", nil, "PATTERN=ACTION,..: what it may do on which repositories of the project; may be given several times")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it lives, such as 12h or 30d (default: 90d)")
	return cmd
}

func (c *cli) createToken() *cobra.Command {
	var expires string
	var scopes []string
	cmd := c.creator("token NAME", "Make a personal token and show it, once", "  hallmark create token laptop --scope 'team/**=pull' --expires 12h",
		func(ctx context.Context, cl *client.Client, name string) error {
			body := tokenBody{Name: name}
			var err error
			if len(scopes) > 0 {
				if body.Scopes, err = parseGrants("--scope", scopes); err != nil {
					return err
				}
			}
			if body.ExpiresIn, err = parseLife(expires); err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPost, "/users/me/tokens", body, "")
			if err != nil {
				return err
			}
			return c.showSecret("token", a)
		})
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "PATTERN=ACTION,..: binds the token to these repositories; may be given several times")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it lives, such as 12h or 30d (default: 90d)")
	return cmd
}

// showSecret shows what was made together with its secret, which is not to be had again.
func (c *cli) showSecret(kindName string, a *client.Answer) error {
	if c.output == "json" || c.output == "yaml" {
		return c.print([]json.RawMessage{a.Body}, nil, true)
	}
	var v struct{ Name, Username, Secret, Token string }
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "%s/%s created. This is shown once:\n", kindName, clean(v.Name))
	if v.Username != "" {
		fmt.Fprintf(c.stdout, "%s\n", clean(v.Username))
	}
	fmt.Fprintf(c.stdout, "%s\n", clean(v.Secret+v.Token))
	return nil
}

func (c *cli) createLabel() *cobra.Command {
	var body labelBody
	cmd := c.creator("label NAME", "Make a label in a project", "  hallmark create label reviewed --project team --color '#1a7f37'",
		func(ctx context.Context, cl *client.Client, name string) error {
			t, err := c.findNamed("label", name)
			if err != nil {
				return err
			}
			a, err := cl.Call(ctx, http.MethodPut, t.list+client.Path(t.item), body, "")
			if err != nil {
				return err
			}
			return c.made("label", t.project+"/"+t.item, a)
		})
	c.addProject(cmd)
	cmd.Flags().StringVar(&body.Color, "color", "", "#rrggbb")
	cmd.Flags().StringVar(&body.Description, "description", "", "what it means")
	return cmd
}

func (c *cli) createTag() *cobra.Command {
	var digest string
	cmd := c.creator("tag PROJECT/REPOSITORY:TAG", "Point a tag at an artifact of its repository", "  hallmark create tag team/app:stable --digest sha256:...",
		func(ctx context.Context, cl *client.Client, name string) error {
			t, err := c.findNamed("tag", name)
			if err != nil {
				return err
			}
			if t.item == "" || digest == "" {
				return usagef("name the tag as PROJECT/REPOSITORY:TAG and the artifact with --digest")
			}
			a, err := cl.Call(ctx, http.MethodPut, t.list+client.Path(t.item), struct {
				Digest string `json:"digest"`
			}{digest}, "")
			if err != nil {
				return err
			}
			return c.made("tag", name, a)
		})
	cmd.Flags().StringVar(&digest, "digest", "", "digest of the artifact")
	return cmd
}

// parseGrants reads PATTERN=ACTION,...
func parseGrants(flag string, values []string) ([]grantBody, error) {
	if len(values) == 0 {
		return nil, usagef("say what is allowed, such as %s '**=pull'", flag)
	}
	var out []grantBody
	for _, v := range values {
		pattern, actions, ok := strings.Cut(v, "=")
		if !ok || pattern == "" || actions == "" {
			return nil, usagef("%s is PATTERN=ACTION,..., such as 'app/**=pull,push', and %q is not", flag, v)
		}
		out = append(out, grantBody{pattern, strings.Split(actions, ",")})
	}
	return out, nil
}

// parseLife reads a duration in seconds: 90d, 12h, 30m. Nil for "".
func parseLife(s string) (*int64, error) {
	if s == "" {
		return nil, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n > 0 {
			seconds := n * 24 * 60 * 60
			return &seconds, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		return nil, usagef("%q is no duration such as 30d, 12h or 30m", s)
	}
	seconds := int64(d / time.Second)
	return &seconds, nil
}
