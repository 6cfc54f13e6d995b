package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
)

// maxHops is how many redirects a read follows.
const maxHops = 3

// repeat says when a request may be sent again.
type repeat int

const (
	never     repeat = iota
	ifRefused        // only after an answer which says that nothing was done
	always
)

// call is one request to the registry.
type call struct {
	method string
	path   string     // below the base, escaped; names and digests need no escaping once they are checked
	query  url.Values // of path
	at     *url.URL   // instead of path and query: where an upload is to be continued
	header http.Header
	body   func() (io.ReadCloser, int64) // nil: none; -1: of unknown length
	stream bool                          // body can be called once only
	scope  scope
	repeat repeat

	unknown registry.Code // what 404 means, and
	invalid registry.Code // 400, when the answer does not say
}

func (r *Registry) url(c *call) *url.URL {
	if c.at != nil {
		return c.at
	}
	u := r.base
	u.Path = c.path
	u.RawQuery = c.query.Encode()
	return &u
}

// do sends a request as often as it may be sent, and returns its answer if that is a success. The caller closes the
// body. Errors are *registry.Error, or the context's.
func (r *Registry) do(ctx context.Context, c *call) (*http.Response, error) {
	var resp *http.Response
	err := r.retry(ctx, c.repeat, func() (err error) {
		resp, err = r.once(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// fetch is do for answers that fit into memory: limit is in bytes, and more is an error. A body that breaks off counts
// as an attempt.
func (r *Registry) fetch(ctx context.Context, c *call, limit int64) ([]byte, *http.Response, error) {
	var (
		data []byte
		resp *http.Response
	)
	err := r.retry(ctx, c.repeat, func() (err error) {
		if resp, err = r.once(ctx, c); err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err = r.readAll(ctx, resp, limit)
		return err
	})
	return data, resp, err
}

func (r *Registry) readAll(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := registry.NewError(registry.CodeTooLarge, fmt.Sprintf(
		"%s answers with more than the %d bytes that are accepted here.", r.Host(), limit))
	if resp.ContentLength > limit {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, r.unreachable(ctx, resp.Request.URL.Host, err)
	case int64(len(data)) > limit:
		return nil, tooLarge
	}
	return data, nil
}

// once sends a request once, or twice if the registry first wants to know who asks.
func (r *Registry) once(ctx context.Context, c *call) (*http.Response, error) {
	credentials, err := r.auth.header(ctx, c.scope)
	if err == nil && credentials == "" && r.opt.LogIn {
		credentials, err = r.logIn(ctx, c.scope)
	}
	if err != nil {
		return nil, err
	}
	resp, err := r.send(ctx, c, credentials)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && sameHost(resp.Request.URL, &r.base) {
		again, err := r.auth.challenged(ctx, resp, c.scope, credentials)
		switch {
		case err != nil:
			discard(resp)
			return nil, err
		case again == "" || c.stream: // nothing better to offer, or the body is gone
			return nil, r.failure(resp, c)
		}
		discard(resp)
		if resp, err = r.send(ctx, c, again); err != nil {
			return nil, err
		}
	}
	if resp.StatusCode >= 300 {
		return nil, r.failure(resp, c)
	}
	return resp, nil
}

// logIn asks the registry how it wants to be told who asks, as docker does first of all.
func (r *Registry) logIn(ctx context.Context, s scope) (string, error) {
	resp, err := r.send(ctx, &call{method: http.MethodGet, path: "/v2/"}, "")
	if err != nil {
		return "", err
	}
	defer discard(resp)
	if resp.StatusCode != http.StatusUnauthorized || !sameHost(resp.Request.URL, &r.base) {
		return "", nil
	}
	return r.auth.challenged(ctx, resp, s, "")
}

// send sends a request and follows redirects, if it is a read.
func (r *Registry) send(ctx context.Context, c *call, credentials string) (*http.Response, error) {
	u := r.url(c)
	for hop := 0; ; hop++ {
		req, err := r.request(ctx, c, u)
		if err != nil {
			return nil, err
		}
		// Once a redirect has left the registry's host, credentials are sent no more, not even if another one leads back.
		if !sameHost(u, &r.base) {
			credentials = ""
		}
		if credentials != "" {
			req.Header.Set("Authorization", credentials)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return nil, r.unreachable(ctx, u.Host, err)
		}
		next, err := r.redirected(c, resp, hop)
		if err != nil {
			discard(resp)
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		discard(resp)
		u = next
	}
}

func (r *Registry) request(ctx context.Context, c *call, u *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("making a request to %s: %w", u.Host, err)
	}
	for name, values := range c.header {
		req.Header[name] = slices.Clone(values)
	}
	req.Header.Set("User-Agent", r.opt.UserAgent)
	// A transport that unpacks what it asked for packed would give us other bytes than the digest's.
	req.Header.Set("Accept-Encoding", "identity")
	if c.body != nil {
		req.Body, req.ContentLength = c.body()
		if req.ContentLength == 0 {
			req.Body = http.NoBody
		}
	}
	return req, nil
}

// redirected returns where an answer leads, nil if it is no redirect.
func (r *Registry) redirected(c *call, resp *http.Response, hop int) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, refusal(registry.CodeUnsupported, "%s redirects a write (%s). That is not followed: use the address "+
			"it redirects to as this registry's URL, if you trust it.", r.Host(), c.method)
	}
	if hop == maxHops {
		return nil, refusal(registry.CodeUnavailable, "%s redirects more than %d times.", r.Host(), maxHops)
	}
	return r.target(resp, "a read")
}

// target resolves the Location of an answer, and refuses what no answer may lead to.
func (r *Registry) target(resp *http.Response, what string) (*url.URL, error) {
	from := resp.Request.URL
	u, err := from.Parse(resp.Header.Get("Location"))
	switch {
	case err != nil || resp.Header.Get("Location") == "" || u.Host == "" || u.User != nil:
		return nil, refusal(registry.CodeUnavailable, "%s sends %s to an address that cannot be understood.", r.Host(), what)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, refusal(registry.CodeUnavailable, "%s sends %s to an address that is neither https nor http.", r.Host(), what)
	case from.Scheme == "https" && u.Scheme == "http":
		return nil, refusal(registry.CodeUnavailable, "%s sends %s from https to http, which is refused. Its operator has to "+
			"correct its external URL.", r.Host(), what)
	}
	u.Fragment = ""
	return u, nil
}

// uploadTarget is target for uploads, whose bytes go to allowed hosts only (V-12).
func (r *Registry) uploadTarget(resp *http.Response) (*url.URL, error) {
	u, err := r.target(resp, "an upload")
	if err != nil {
		return nil, err
	}
	if !sameHost(u, &r.base) && !listed(u, r.opt.AllowRedirectHosts) {
		return nil, refusal(registry.CodeDenied, "%s wants an upload sent to another host, %s. Allow that host for this "+
			"registry if you trust it.", r.Host(), clean(u.Host))
	}
	return u, nil
}

// sameHost compares host and port; the scheme counts through its port only.
func sameHost(a, b *url.URL) bool { return hostPort(a) == hostPort(b) }

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// listed says whether u's host is in a list of "host" or "host:port".
func listed(u *url.URL, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(host string) bool {
		return sameHost(u, &url.URL{Scheme: u.Scheme, Host: host})
	})
}

// discard ends an answer whose body nobody wants; a short one leaves the connection usable.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
}

// unreachable is the error of a request that had no answer. The reason is for the log: told to a client, it would say
// which of our internal addresses exist.
func (r *Registry) unreachable(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("asking %s: %w", host, ctx.Err())
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err // the URL may hold an upload's state or a signature
	}
	return &transient{error: fmt.Errorf("%w (%w)", registry.NewError(registry.CodeUnavailable,
		clean(host)+" cannot be reached, or broke off. Try again later; if it stays so, check its address and network."), err)}
}
