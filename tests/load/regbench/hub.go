package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

var errNoHub = errors.New("needs the admin API (-hub)")

// hub is what the tests need from the admin API: a private project, a public one, and users who come and go.
type hub struct {
	c       *client
	project string
	users   []*hubUser
}

type hubUser struct {
	client *client
	etag   string
}

// openHub makes the projects unless they are there from an earlier run. A registry without the admin API has none.
func openHub(ctx context.Context, c *client) (*hub, error) {
	h := &hub{c: c}
	h.project, _, _ = strings.Cut(*prefix, "/")
	for name, visibility := range map[string]string{h.project: "private", h.publicProject(): "public"} {
		resp, err := h.call(ctx, "POST", "/projects", nil, map[string]string{"name": name, "visibility": visibility})
		if err != nil {
			return nil, err
		}
		if resp.code == http.StatusNotFound || resp.code == http.StatusMethodNotAllowed {
			fmt.Fprintln(os.Stderr, "regbench: no admin API here; tests that need it fail")
			return nil, nil
		}
		if resp.code != http.StatusCreated && resp.code != http.StatusConflict {
			return nil, fmt.Errorf("making project %s: %s: %.300s", name, resp.status, resp.body)
		}
	}
	return h, nil
}

func (h *hub) publicProject() string { return h.project + "-public" }

func (h *hub) call(ctx context.Context, method, path string, header map[string]string, v any) (*answer, error) {
	all := map[string]string{}
	for k, v := range header {
		all[k] = v
	}
	if v == nil {
		return h.c.send(ctx, method, "/api/v1"+path, h.c.basicHeader(), all, nil, 0)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	all["Content-Type"] = "application/json"
	return h.c.send(ctx, method, "/api/v1"+path, h.c.basicHeader(), all, bytes.NewReader(b), int64(len(b)))
}

// newUser makes a user who may do nothing yet.
func (h *hub) newUser(ctx context.Context) (*hubUser, error) {
	name, password := "bench-"+strings.ToLower(rand.Text()), rand.Text()
	resp, err := h.call(ctx, "POST", "/users", nil, map[string]string{"username": name, "password": password})
	if err != nil {
		return nil, err
	}
	if resp.code != http.StatusCreated {
		return nil, fmt.Errorf("making a user: %s: %.300s", resp.status, resp.body)
	}
	u := &hubUser{client: h.c.as(name, password), etag: resp.header.Get("ETag")}
	h.users = append(h.users, u)
	return u, nil
}

// join lets a user pull from the project.
func (h *hub) join(ctx context.Context, u *hubUser) error {
	resp, err := h.call(ctx, "PUT", "/projects/"+h.project+"/members/"+u.client.user, nil, map[string]string{"role": "guest"})
	if err == nil && resp.code >= 300 {
		err = fmt.Errorf("adding a member: %s: %.300s", resp.status, resp.body)
	}
	return err
}

// leave removes the users. It has a time of its own: after an interrupt they are to go all the same.
func (h *hub) leave() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, u := range h.users {
		resp, err := h.call(ctx, "DELETE", "/users/"+u.client.user, map[string]string{"If-Match": u.etag}, nil)
		if err == nil && resp.code >= 300 {
			err = errors.New(resp.status)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "regbench: user %s stays: %v\n", u.client.user, err)
		}
	}
}
