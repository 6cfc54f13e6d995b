package remote

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

// scope is what a request needs, in the words of the token protocol: "repository:p/app:pull".
type scope []string

func pull(repo string) scope  { return scope{"repository:" + repo + ":pull"} }
func push(repo string) scope  { return scope{"repository:" + repo + ":pull,push"} }
func erase(repo string) scope { return scope{"repository:" + repo + ":delete"} }

func (s scope) key() string { return strings.Join(s, " ") }

// with adds the scopes of a challenge, which may know more of the registry than we do.
func (s scope) with(challenge string) scope {
	if len(challenge) > 4<<10 {
		return s
	}
	all := slices.Clone(s)
	for _, one := range strings.Fields(challenge) {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// authorizer knows how the registry wants to be told who asks, and keeps its tokens. A credential is never sent before
// the registry has asked for it.
type authorizer struct {
	r *Registry

	mu      sync.Mutex
	basic   bool                // it asked for Basic
	wanted  map[string]question // what it asked for a token with, by scope
	tokens  map[string]token
	flights map[string]*flight // token requests under way
}

// maxScopes bounds the maps of an authorizer: one scope per repository and verb, of which a large replication has many.
const maxScopes = 4096

// question is where and with what a token is to be had.
type question struct {
	realm, service string
	scope          scope
}

type token struct {
	value string
	until time.Time
}

type flight struct {
	done  chan struct{}
	value string
	err   error
}

func newAuthorizer(r *Registry) *authorizer {
	return &authorizer{r: r, wanted: map[string]question{}, tokens: map[string]token{}, flights: map[string]*flight{}}
}

// header returns the Authorization to send with a request at once, "" if the registry has not asked for any yet. A token
// that has run out is renewed here and not by a refusal, because the body of an upload can be sent only once.
func (a *authorizer) header(ctx context.Context, s scope) (string, error) {
	a.mu.Lock()
	q, asked := a.wanted[s.key()]
	basic := a.basic
	a.mu.Unlock()
	switch {
	case asked:
		return a.bearer(ctx, s, q)
	case basic:
		return a.basicHeader(ctx)
	}
	return "", nil
}

// challenged answers a 401: it returns the Authorization to try again with, "" if there is nothing better than what was
// sent.
func (a *authorizer) challenged(ctx context.Context, resp *http.Response, s scope, sent string) (string, error) {
	challenges := parseChallenges(resp.Header.Values("WWW-Authenticate"))
	if c, ok := challenges["bearer"]; ok {
		q := question{realm: c["realm"], service: c["service"], scope: s.with(c["scope"])}
		a.mu.Lock()
		if t, ok := a.tokens[s.key()]; ok && "Bearer "+t.value == sent {
			delete(a.tokens, s.key())
		}
		if len(a.wanted) >= maxScopes {
			clear(a.wanted)
			clear(a.tokens)
		}
		a.wanted[s.key()] = q
		a.mu.Unlock()
		return a.better(sent, func() (string, error) { return a.bearer(ctx, s, q) })
	}
	if _, ok := challenges["basic"]; ok {
		a.mu.Lock()
		a.basic = true
		a.mu.Unlock()
		return a.better(sent, func() (string, error) { return a.basicHeader(ctx) })
	}
	return "", nil
}

// better drops an Authorization that was refused already.
func (a *authorizer) better(sent string, header func() (string, error)) (string, error) {
	h, err := header()
	if h == sent {
		return "", err
	}
	return h, err
}

func (a *authorizer) credentials(ctx context.Context) (Credentials, error) {
	if a.r.opt.Credentials == nil {
		return Credentials{}, nil
	}
	return a.r.opt.Credentials(ctx, a.r.Host())
}

func (a *authorizer) basicHeader(ctx context.Context) (string, error) {
	c, err := a.credentials(ctx)
	if err != nil || c.Username == "" && c.Password == "" {
		return "", err
	}
	return basic(c), nil
}

func basic(c Credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// bearer returns a token for s: the one we have, or one that one of the goroutines that need it fetches.
func (a *authorizer) bearer(ctx context.Context, s scope, q question) (string, error) {
	key := s.key()
	for {
		a.mu.Lock()
		if t, ok := a.tokens[key]; ok && time.Now().Before(t.until) {
			a.mu.Unlock()
			return "Bearer " + t.value, nil
		}
		f, waiting := a.flights[key]
		if !waiting {
			f = &flight{done: make(chan struct{})}
			a.flights[key] = f
		}
		a.mu.Unlock()
		if !waiting {
			a.fly(ctx, key, q, f)
			return f.value, f.err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-f.done:
		}
		if f.err == nil || registry.CodeOf(f.err) != registry.CodeUnknown {
			return f.value, f.err
		}
		// Whoever fetched it gave up, which says nothing about us.
	}
}

// fly fetches a token for everybody who waits for f.
func (a *authorizer) fly(ctx context.Context, key string, q question, f *flight) {
	t, err := a.r.fetchToken(ctx, q)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.flights, key)
	if err == nil {
		a.tokens[key] = t
		f.value = "Bearer " + t.value
	}
	f.err = err
	close(f.done)
}

// parseChallenges reads WWW-Authenticate (RFC 9110, section 11.6.1) into parameters by scheme, all names in lower case.
// What it cannot read it leaves out.
func parseChallenges(values []string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, s := range values {
		var params map[string]string
		for s = strings.TrimLeft(s, " \t,"); s != ""; s = strings.TrimLeft(s, " \t,") {
			word, rest := cutToken(s)
			if word == "" {
				break
			}
			value, after, ok := cutValue(rest)
			switch {
			case !ok: // a scheme
				params = map[string]string{}
				if _, twice := all[strings.ToLower(word)]; !twice {
					all[strings.ToLower(word)] = params
				}
				s = rest
			case params != nil:
				if _, twice := params[strings.ToLower(word)]; !twice {
					params[strings.ToLower(word)] = value
				}
				s = after
			default:
				s = after
			}
		}
	}
	return all
}

// cutToken splits a leading token off s.
func cutToken(s string) (word, rest string) {
	end := strings.IndexAny(s, " \t,=\"")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue splits `="value"` or `=value` off s.
func cutValue(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, "=") {
		return "", s, false
	}
	s = strings.TrimLeft(s[1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", true
}
