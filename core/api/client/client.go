package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Base is where the API begins.
const Base = "/api/v1"

// timeout bounds one request, that of the hub included.
const timeout = 60 * time.Second

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// Client calls one hub. Its methods may be called concurrently.
type Client struct {
	address string // scheme and host
	http    *http.Client
	// Authorize adds the credentials to a request; nil sends none.
	Authorize func(r *http.Request)
}

// New makes a client of the hub at address: "hub.example.org", "127.0.0.1:8080", "https://hub.example.org". Without a scheme
// it is https, but http for this machine.
func New(address string) (*Client, error) {
	full, err := Address(address)
	if err != nil {
		return nil, err
	}
	return newClient(full, http.DefaultTransport), nil
}

// Socket makes a client of the hub whose local socket is at path.
func Socket(path string) *Client {
	var d net.Dialer
	return newClient("http://hallmark.sock", &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", path)
	}})
}

// Local makes a client of a handler in this process.
func Local(h http.Handler) *Client { return newClient("http://hallmark.local", inProcess{h}) }

func newClient(address string, t http.RoundTripper) *Client {
	return &Client{address: address, http: &http.Client{Transport: t, Timeout: timeout,
		// The API redirects nowhere; following would send the credentials along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Address completes an address and refuses what is none.
func Address(s string) (string, error) {
	full := strings.TrimSuffix(s, "/")
	if !strings.Contains(full, "://") {
		scheme := "https://"
		if isLocal(full) {
			scheme = "http://"
		}
		full = scheme + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("%q is not the address of a hub, such as hub.example.org or http://127.0.0.1:8080", s)
	}
	return full, nil
}

// Exposed says whether what is sent to an address goes over the network unencrypted.
func Exposed(address string) bool {
	host, plain := strings.CutPrefix(address, "http://")
	return plain && !isLocal(host)
}

func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// Answer is what a call was answered.
type Answer struct {
	Status int
	Header http.Header
	Body   json.RawMessage
}

// ETag is what a change of the resource needs as If-Match.
func (a *Answer) ETag() string { return a.Header.Get("ETag") }

// Call makes a request. path follows /api/v1, with its parts escaped (see Path), and may have a query; body is nil or what becomes
// JSON; ifMatch may be "". A refusal of the hub is a *Problem.
func (c *Client) Call(ctx context.Context, method, path string, body any, ifMatch string) (*Answer, error) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.address+Base+path, in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if ifMatch != "" {
		r.Header.Set("If-Match", ifMatch)
	}
	return c.do(r)
}

// Upload sends a file.
func (c *Client) Upload(ctx context.Context, path string, file io.Reader) (*Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.address+Base+path, file)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	return c.do(r)
}

func (c *Client) do(r *http.Request) (*Answer, error) {
	r.Header.Set("Accept", "application/json, application/problem+json")
	res, err := c.send(c.http, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return c.read(res)
}

func (c *Client) send(by *http.Client, r *http.Request) (*http.Response, error) {
	if c.Authorize != nil {
		c.Authorize(r)
	}
	res, err := by.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is told below
		}
		return nil, fmt.Errorf("the hub at %s cannot be reached: %w", c.address, err)
	}
	return res, nil
}

func (c *Client) read(res *http.Response) (*Answer, error) {
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", c.address, err)
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%s answered with more than %d bytes: ask for less of it, with --filter or --platform", c.address, maxAnswer)
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: raw}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return a, nil
	}
	p := &Problem{Status: res.StatusCode}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(raw, p) != nil {
		return a, fmt.Errorf("%s answered %s, which is not how a hub answers: is this the right address?", c.address, res.Status)
	}
	return a, p
}

// Event is one of a stream.
type Event struct {
	Name, ID string
	Data     json.RawMessage
}

// maxEvent bounds one line of a stream.
const maxEvent = 1 << 20

// Follow reads a stream of events until it ends, and calls each. last is the id of the last event that was read before, or
// "". A refusal of the hub is a *Problem.
func (c *Client) Follow(ctx context.Context, path, last string, each func(Event) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address+Base+path, nil)
	if err != nil {
		return err
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	endless := *c.http
	endless.Timeout = 0
	res, err := c.send(&endless, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		_, err := c.read(res)
		return err
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	for e := (Event{}); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			e.Name = value
		case "id":
			e.ID = value
		case "data":
			e.Data = json.RawMessage(value)
		case "":
			if e.Data != nil {
				if err := each(e); err != nil {
					return err
				}
			}
			e = Event{}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream of %s broke off: %w", c.address, err)
	}
	return nil
}

// List reads a list page by page, at most most items (0: all), and calls each.
func (c *Client) List(ctx context.Context, path string, most int, each func(item json.RawMessage) error) error {
	for n := 0; path != ""; {
		a, err := c.Call(ctx, http.MethodGet, path, nil, "")
		if err != nil {
			return err
		}
		var items []json.RawMessage
		if err := json.Unmarshal(a.Body, &items); err != nil {
			return fmt.Errorf("the hub answered with something that is no list: %w", err)
		}
		for _, item := range items {
			if err := each(item); err != nil {
				return err
			}
			if n++; n == most {
				return nil
			}
		}
		path = a.Next()
	}
	return nil
}

// Next is the path of the page that follows; "" if there is none.
func (a *Answer) Next() string { return nextPage(a.Header.Get("Link")) }

// nextPage is the path, below Base, that a Link header names as the next page; "" if there is none.
func nextPage(link string) string {
	target, rel, ok := strings.Cut(link, ">;")
	if !ok || strings.TrimSpace(rel) != `rel="next"` {
		return ""
	}
	path, ok := strings.CutPrefix(target, "<"+Base)
	if !ok {
		return ""
	}
	return path
}

// Path joins the parts of a path, each escaped.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Problem is a refusal of the hub.
type Problem struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// Error is the sentence of the hub, and which fields are wrong where that is more than one.
func (p *Problem) Error() string {
	s := p.Detail
	if len(p.Errors) > 1 {
		for _, e := range p.Errors {
			s += fmt.Sprintf("\n  %s: %s", e.Pointer, e.Detail)
		}
	}
	if p.Status >= 500 {
		s += fmt.Sprintf(" (request %s)", p.RequestID)
	}
	return s
}

// Code is the code of a refusal, "" for any other error and for nil.
func Code(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}
