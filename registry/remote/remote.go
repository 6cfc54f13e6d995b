package remote

import (
	"context"
	_ "crypto/sha256" // go-digest computes only what is linked
	_ "crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// Limits of what is read into memory, in bytes. Blobs are streamed and have none.
const (
	maxManifest = 4 << 20
	maxList     = 8 << 20
	maxError    = 64 << 10
	maxToken    = 64 << 10
)

// Options say how to speak to a registry. The zero value speaks TLS, anonymously.
type Options struct {
	// Transport carries the requests; nil takes one of our own. It must not follow redirects. It is the place for
	// a dialer that refuses internal addresses, proxies and client certificates.
	Transport http.RoundTripper

	// Credentials is asked for the credentials of a host ("registry.example.com", with the port that the
	// URL names) when the registry wants some. Nil, and the zero Credentials, mean anonymous. It may be called from
	// several goroutines.
	Credentials func(ctx context.Context, host string) (Credentials, error)

	// LogIn asks the registry for its challenge before anything else is sent, and not only when something was refused: for
	// registries that let everybody in and then give less to whoever is not known.
	LogIn bool

	// PlainHTTP admits a base URL without TLS.
	PlainHTTP bool

	// UserAgent is sent with every request; "hallmark" if empty.
	UserAgent string

	// AllowRealmHosts are hosts besides the registry's own to which its credentials may be sent for a token,
	// as "host" or "host:port".
	AllowRealmHosts []string

	// AllowRedirectHosts are hosts besides the registry's own to which uploads may be sent when it says so. They
	// never get its credentials. Reads need no such list: they are followed to any host, likewise without
	// credentials, and what comes back is checked.
	AllowRedirectHosts []string

	Retry Retry
}

// Credentials of a registry: user and password, or a token that is sent as it is.
type Credentials struct {
	Username, Password string
	Token              string
}

// Retry bounds how often a request that may be repeated is sent: reads, and pushes of manifests; deletes only when the
// registry said that it did nothing (429, 503); parts of uploads never. Zero fields take the defaults.
type Retry struct {
	Attempts int           // requests in all; 4
	Wait     time.Duration // before the second one, then doubled; 250 ms. Up to a half of each is random
	MaxWait  time.Duration // the longest; 30 s. A Retry-After beyond it ends the attempts, and is in the error
}

func (r Retry) orDefault() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 4
	}
	if r.Wait <= 0 {
		r.Wait = 250 * time.Millisecond
	}
	if r.MaxWait <= 0 {
		r.MaxWait = 30 * time.Second
	}
	return r
}

// Registry is another registry. It is safe for concurrent use.
//
// What it cannot promise, since the other side decides it: several tags are set one after the other where that
// registry does not take them together (PutManifest); names come in that registry's order (Tags, Repositories); blobs in
// use may be deleted; Repositories knows no visibility, so that RepositoryQuery.Public adds nothing. Uploads live in the
// memory of this value: they do not survive it, and anybody who knows id and repository may continue them.
type Registry struct {
	base    url.URL
	opt     Options
	client  *http.Client
	auth    *authorizer
	uploads *sessions
	lists   chan struct{} // held while a fallback list is read, changed and written

	referrers atomic.Int32 // what is known of the other side's referrers API: one of api...
}

// What is known of the other side's referrers API.
const (
	apiUnknown int32 = iota
	apiPresent
	apiAbsent
)

var _ registry.Registry = (*Registry)(nil)

// New returns the registry at base, such as https://registry.example.com. It sends nothing yet. The error says what is
// wrong with base.
func New(base *url.URL, opt Options) (*Registry, error) {
	switch {
	case base == nil || base.Host == "":
		return nil, errors.New("a registry's URL needs a host, as in https://registry.example.com")
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, fmt.Errorf("a registry's URL begins with https://, not %s://", base.Scheme)
	case base.Scheme == "http" && !opt.PlainHTTP:
		return nil, fmt.Errorf("the registry %s is to be spoken to without TLS: use https://, or allow plain HTTP for it", base.Host)
	case base.Path != "" && base.Path != "/" || base.RawQuery != "" || base.Fragment != "" || base.User != nil:
		return nil, fmt.Errorf("the URL of the registry %s has more than scheme, host and port", base.Host)
	}
	opt.Retry = opt.Retry.orDefault()
	if opt.UserAgent == "" {
		opt.UserAgent = "hallmark"
	}
	if opt.Transport == nil {
		opt.Transport = defaultTransport()
	}
	r := &Registry{
		base: url.URL{Scheme: base.Scheme, Host: base.Host}, opt: opt,
		client: &http.Client{
			Transport: opt.Transport,
			// follow decides on redirects: net/http would forward more than we want, and to more hosts.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		uploads: newSessions(),
		lists:   make(chan struct{}, 1),
	}
	r.auth = newAuthorizer(r)
	return r, nil
}

// defaultTransport has deadlines for everything but bodies, whose length nobody knows: the context bounds those.
func defaultTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.ResponseHeaderTimeout = 5 * time.Minute // the end of a large upload takes its time
	t.MaxResponseHeaderBytes = 64 << 10
	t.MaxIdleConnsPerHost = 16
	return t
}

// Host is the host that is spoken to, with the port that its URL names: for messages, and for Credentials.
func (r *Registry) Host() string { return r.base.Host }

// Ping asks whether there is a registry that takes the credentials, if some are set.
func (r *Registry) Ping(ctx context.Context) error {
	resp, err := r.do(ctx, &call{method: http.MethodGet, path: "/v2/", repeat: always,
		unknown: registry.CodeUnavailable, invalid: registry.CodeUnavailable})
	if err == nil {
		discard(resp)
	}
	return err
}

// checkName refuses what is no repository before it becomes part of a URL.
func checkName(repo string) error {
	if !registry.ValidName(repo) {
		return registry.NewError(registry.CodeNameInvalid, "This is not a repository name: lower-case letters, digits "+
			"and single separators (. _ -) in components joined by /.")
	}
	return nil
}

func checkTag(tag string) error {
	if !registry.ValidTag(tag) {
		return registry.NewError(registry.CodeTagInvalid, "This is not a tag: at most 128 letters, digits, "+
			"underscores, dots and dashes, and neither dot nor dash at the start.")
	}
	return nil
}

// checkDigest refuses what is no digest, together with checkName.
func checkDigest(repo string, d digest.Digest) error {
	if err := checkName(repo); err != nil {
		return err
	}
	_, err := registry.ParseDigest(string(d))
	return err
}
