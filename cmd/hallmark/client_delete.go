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

func (c *cli) deleteCommand() *cobra.Command {
	var leaveOwnerless, force bool
	cmd := &cobra.Command{
		Use: "delete KIND NAME", Short: "Remove something", Args: args(cobra.ExactArgs(2)),
		Long:    "Removes one thing. An artifact is named by its digest, and goes with every tag of it.",
		Example: "  hallmark delete member bob --project team\n  hallmark delete tag team/app:1.0\n  hallmark delete artifact team/app@sha256:...",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			k, err := findKind(given[0])
			if err != nil {
				return err
			}
			if k.readOnly {
				return usagef("%s cannot be deleted", k.plural)
			}
			k.noItem = false
			t, err := c.find(k, given[1])
			if err != nil {
				return err
			}
			if t.item == "" {
				return usagef("name the %s; a whole list is not deleted at once", k.name)
			}
			if leaveOwnerless && t.name != "user" {
				return usagef("--leave-ownerless is for deleting a user")
			}
			if force && t.name != "authority" && t.name != "trust-root" {
				return usagef("--force is for deleting an authority or a trust root")
			}
			insist := ""
			switch {
			case leaveOwnerless:
				insist = "leave_ownerless"
			case force:
				insist = "force"
			}
			return c.delete(ctx, cl, t, given[1], insist)
		}),
		ValidArgsFunction: c.completeNames,
	}
	c.addProject(cmd)
	addForce(cmd, &force)
	cmd.Flags().BoolVar(&leaveOwnerless, "leave-ownerless", false, "delete a user even if projects are left without an owner")
	return cmd
}

// addForce adds --force for what others may rely on.
func addForce(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "delete a key or a trust root even if policies or identities use it")
}

// delete removes what is there now. What has an ETag is read first, so that what somebody else just changed is not removed
// unseen between the two requests. insist is the parameter that overrides an objection of the hub, or "".
func (c *cli) delete(ctx context.Context, cl *client.Client, t target, typed, insist string) error {
	if t.in == inRepository && t.name == "artifact" && !strings.Contains(t.item, ":") {
		return usagef("name the artifact by its digest, since all its tags go too; for the tag alone: hallmark delete tag %s", typed)
	}
	path, err := t.path(ctx, cl)
	if err != nil {
		return err
	}
	tag := ""
	if t.in != inMe && t.in != inRepository && !t.noRevision {
		now, err := cl.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return t.orList(err)
		}
		tag = now.ETag()
	}
	if insist != "" {
		path += "?" + insist + "=true"
	}
	_, err = cl.Call(ctx, http.MethodDelete, path, nil, tag)
	if client.Code(err) == "conflict" && strings.Contains(err.Error(), "?force=true") {
		return fmt.Errorf("%w\nTo delete it all the same run the command again with --force.", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s/%s deleted\n", t.name, clean(typed))
	return nil
}

func (c *cli) promoteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "promote SOURCE TARGET", Short: "Copy an artifact inside the hub, with its signatures", Args: args(cobra.ExactArgs(2)),
		Long: "Links an artifact, what it consists of and what refers to it (signatures, SBOMs) to another repository of the same\n" +
			"hub. No bytes move. The target's tag may be left out; then it is that of the source, if that has one.",
		Example: "  hallmark promote dev/app:1.0 prod/app\n  hallmark promote dev/app@sha256:... prod/app:1.0",
		RunE: c.run(func(ctx context.Context, cl *client.Client, given []string) error {
			_, from := cutReference(given[0])
			repository, tag := cutReference(given[1])
			project, path, ok := strings.Cut(repository, "/")
			if !ok || from == "" || strings.Contains(tag, ":") {
				return usagef("promote PROJECT/REPOSITORY:TAG (or @DIGEST) PROJECT/REPOSITORY[:TAG]")
			}
			if tag == "" && !strings.Contains(from, ":") {
				tag = from
			}
			body := struct {
				From string   `json:"from"`
				Tags []string `json:"tags,omitempty"`
			}{From: given[0]}
			if tag != "" {
				body.Tags = []string{tag}
			}
			a, err := cl.Call(ctx, http.MethodPost, client.Path("projects", project, "repositories", path, "artifacts"), body, "")
			if err != nil {
				return err
			}
			if c.output == "json" || c.output == "yaml" {
				return c.print([]json.RawMessage{a.Body}, nil, true)
			}
			var v struct{ Digest string }
			if err := json.Unmarshal(a.Body, &v); err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s is %s@%s\n", given[0], repository, clean(v.Digest))
			return nil
		}),
	}
	c.addOutput(cmd)
	return cmd
}
