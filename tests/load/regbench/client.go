package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// client is a minimal OCI distribution client: just enough to load a registry.
type client struct {
	base, user, pass string
	http             *http.Client

	mu     sync.Mutex
	tokens map[string]token // by scope
	realm  *url.URL         // of the token service, once the server has asked for a bearer token
	basic  bool
}

type token struct {
	header string // of Authorization
	until  time.Time
}

func newClient(base, user, pass string) *client {
	return &client{
		base: strings.TrimRight(base, "/"), user: user, pass: pass,
		http: &http.Client{
			Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, DisableCompression: true,
				WriteBufferSize: 1 << 18, ReadBufferSize: 1 << 18},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		tokens: map[string]token{},
	}
}

// as is a client of the same server for somebody else; an empty name is nobody.
func (c *client) as(user, pass string) *client {
	o := newClient(c.base, user, pass)
	o.realm, o.basic = c.realm, c.basic && user != ""
	return o
}

var challengeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)

// probe asks /v2/ which authentication the server wants.
func (c *client) probe(ctx context.Context) error {
	resp, err := c.send(ctx, "GET", "/v2/", "", nil, nil, 0)
	if err != nil {
		return err
	}
	w := resp.header.Get("WWW-Authenticate")
	if resp.code != http.StatusUnauthorized || !strings.HasPrefix(strings.ToLower(w), "bearer") {
		c.basic = c.user != ""
		return nil
	}
	p := map[string]string{}
	for _, m := range challengeParam.FindAllStringSubmatch(w, -1) {
		p[strings.ToLower(m[1])] = m[2]
	}
	if c.realm, err = url.Parse(p["realm"]); err != nil {
		return err
	}
	c.realm.RawQuery = url.Values{"service": {p["service"]}}.Encode()
	return nil
}

// tokenURL is where a token for a scope is fetched.
func (c *client) tokenURL(scope string) string {
	u := *c.realm
	q := u.Query()
	q.Set("scope", scope)
	u.RawQuery = q.Encode()
	return u.String()
}

func (c *client) basicHeader() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.user+":"+c.pass))
}

// authFor returns the Authorization header value for a scope ("" when none is needed). A token is fetched anew a minute
// before it ends: what is sent from a stream could not be sent again after a 401.
func (c *client) authFor(ctx context.Context, scope string) (string, error) {
	if c.basic {
		return c.basicHeader(), nil
	}
	if c.realm == nil {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.tokens[scope]; ok && time.Now().Before(t.until) {
		return t.header, nil
	}
	t, err := c.fetchToken(ctx, scope)
	if err != nil {
		return "", err
	}
	c.tokens[scope] = t
	return t.header, nil
}

func (c *client) fetchToken(ctx context.Context, scope string) (token, error) {
	auth := ""
	if c.user != "" {
		auth = c.basicHeader()
	}
	resp, err := c.send(ctx, "GET", c.tokenURL(scope), auth, nil, nil, 0)
	if err != nil {
		return token{}, err
	}
	var t struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(resp.body, &t); err != nil {
		return token{}, fmt.Errorf("token service: %s: %w", resp.status, err)
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	if t.Token == "" {
		return token{}, fmt.Errorf("token service: %s, and no token", resp.status)
	}
	// The specification's default life is 60 s.
	life := time.Duration(max(t.ExpiresIn, 60)) * time.Second
	return token{"Bearer " + t.Token, time.Now().Add(life - min(time.Minute, life/2))}, nil
}

func (c *client) forget() { c.mu.Lock(); c.tokens = map[string]token{}; c.mu.Unlock() }

func scopePull(repo string) string { return "repository:" + repo + ":pull" }
func scopePush(repo string) string { return "repository:" + repo + ":pull,push" }

const scopeCatalog = "registry:catalog:*"

// answer is a response that was read to its end.
type answer struct {
	code   int
	status string
	header http.Header
	body   []byte
}

// send sends one request with an Authorization header as given.
func (c *client) send(ctx context.Context, method, target, auth string, h map[string]string, body io.Reader, size int64) (*answer, error) {
	if strings.HasPrefix(target, "/") {
		target = c.base + target
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Status, resp.Header, b}, err
}

// do sends one request with the rights of a scope. A token that was refused is fetched anew once, if the body can be
// sent again: the server may have been started again in between.
func (c *client) do(ctx context.Context, method, target, scope string, h map[string]string, body io.Reader, size int64) (*answer, error) {
	for try := 0; ; try++ {
		a, err := c.authFor(ctx, scope)
		if err != nil {
			return nil, err
		}
		resp, err := c.send(ctx, method, target, a, h, body, size)
		if err != nil || resp.code != http.StatusUnauthorized || c.realm == nil || try > 0 {
			return resp, err
		}
		if s, ok := body.(io.Seeker); ok {
			if _, err := s.Seek(0, io.SeekStart); err != nil {
				return resp, err
			}
		} else if body != nil {
			return resp, nil
		}
		c.mu.Lock()
		delete(c.tokens, scope)
		c.mu.Unlock()
	}
}

// expect is do for requests that can only have one outcome.
func (c *client) expect(ctx context.Context, want int, method, target, scope string, h map[string]string, body io.Reader, size int64) (*answer, error) {
	resp, err := c.do(ctx, method, target, scope, h, body, size)
	if err != nil {
		return nil, err
	}
	if resp.code != want {
		return resp, fmt.Errorf("%s %s: %s, want %d: %.300s", method, target, resp.status, want, resp.body)
	}
	return resp, nil
}

func (c *client) location(resp *answer) (string, error) {
	l := resp.header.Get("Location")
	if l == "" {
		return "", errors.New("no Location header")
	}
	b, err := url.Parse(c.base + "/")
	if err != nil {
		return "", err
	}
	u, err := b.Parse(l)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}
