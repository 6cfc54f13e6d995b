package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/api/client"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// image names an image as docker does: [HOST/]PROJECT/REPOSITORY[:TAG|@DIGEST].
type image struct {
	host       string // "" leaves open which hub is meant
	repository string
	tag        string // "" if there is a digest
	digest     digest.Digest
}

// parseImage reads what somebody typed. A tag besides a digest says nothing and is dropped.
func parseImage(s string) (image, error) {
	wrong := usagef("%q is no image, such as hub.example.org/team/app:1.0 or team/app@sha256:...", s)
	var i image
	name, d, digested := strings.Cut(s, "@")
	if first, rest, ok := strings.Cut(name, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		i.host, name = first, rest
	}
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name, i.tag = name[:at], name[at+1:]
		if !registry.ValidTag(i.tag) {
			return i, wrong
		}
	}
	if i.repository = name; !registry.ValidName(name) {
		return i, wrong
	}
	if digested {
		parsed, err := registry.ParseDigest(d)
		if err != nil {
			return i, wrong
		}
		i.tag, i.digest = "", parsed
	} else if i.tag == "" {
		i.tag = "latest"
	}
	return i, nil
}

func (i *image) reference() registry.Reference {
	return registry.Reference{Tag: i.tag, Digest: i.digest}
}

// registryOf is the registry of the hub where an image lies, for whoever is logged in there to push to. name is how its repository is
// called from here.
func (c *cli) registryOf(i *image) (reg *remote.Registry, name string, err error) {
	config, err := c.readConfig()
	if err != nil {
		return nil, "", err
	}
	address, err := c.addressOf(config, i.host)
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", usageError{err}
	}
	if config.find(address) == nil && c.getenv("HALLMARK_TOKEN") == "" { // nobody may push without a name
		return nil, "", fmt.Errorf("you are not logged in to %s\nLog in with: hallmark login %s", u.Host, address)
	}
	reg, err = remote.New(u, remote.Options{LogIn: true, PlainHTTP: u.Scheme == "http", UserAgent: "hallmark/" + version(),
		Credentials: func(ctx context.Context, _ string) (remote.Credentials, error) {
			return c.credentials(ctx, config, address)
		}})
	if i.host == "" {
		i.host = u.Host
	}
	return reg, i.host + "/" + i.repository, err
}

// addressOf is the address of the hub that an image's name means. --server says where it really is.
func (c *cli) addressOf(config *clientConfig, host string) (string, error) {
	environment := c.getenv("HALLMARK_SERVER")
	address := host
	switch {
	case c.server != "":
		address = c.server
	case host == "" && environment != "":
		address = environment
	case host == "":
		address = config.Current
	case isHost(environment, host):
		address = environment
	default:
		for _, h := range config.Hubs {
			if isHost(h.Address, host) {
				address = h.Address
			}
		}
	}
	if address == "" {
		return "", usagef("which hub? Name it in front of the image, or log in first with: hallmark login ADDRESS")
	}
	address, err := client.Address(address)
	if err != nil {
		return "", usageError{err}
	}
	return address, nil
}

// isHost reports whether an address is one of that host.
func isHost(address, host string) bool {
	full, err := client.Address(address)
	if address == "" || err != nil {
		return false
	}
	u, err := url.Parse(full)
	return err == nil && strings.EqualFold(u.Host, host)
}

// credentials are those there are for a hub. A token in the environment is for the hub in the environment, if one is
// named there: no other host gets to see it.
func (c *cli) credentials(ctx context.Context, config *clientConfig, address string) (remote.Credentials, error) {
	server, token := c.getenv("HALLMARK_SERVER"), c.getenv("HALLMARK_TOKEN")
	full, err := client.Address(server)
	if token != "" && (server == "" || err == nil && full == address) {
		user, err := userOf(ctx, address, token)
		return remote.Credentials{Username: user, Password: token}, err
	}
	if known := config.find(address); known != nil {
		return remote.Credentials{Username: known.Username, Password: known.Token}, nil
	}
	return remote.Credentials{}, nil
}

// userOf asks a hub whose token this is.
func userOf(ctx context.Context, address, token string) (string, error) {
	cl, err := client.New(address)
	if err != nil {
		return "", err
	}
	cl.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	me, err := cl.Call(ctx, http.MethodGet, "/users/me", nil, "")
	if err != nil {
		return "", err
	}
	var who struct{ Username string }
	if err := json.Unmarshal(me.Body, &who); err != nil {
		return "", fmt.Errorf("%s did not say who you are: is it a hub?", address)
	}
	return who.Username, nil
}

// toLogIn adds what to type next where a registry wants somebody else.
func toLogIn(host string, err error) error {
	if registry.CodeOf(err) == registry.CodeUnauthorized {
		return fmt.Errorf("%w\nLog in with: hallmark login %s", err, host)
	}
	return err
}
