package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

// fetchToken gets a token where the registry said it can be had, if that is a place its credentials may go to.
func (r *Registry) fetchToken(ctx context.Context, q question) (token, error) {
	realm, err := r.realm(q.realm)
	if err != nil {
		return token{}, err
	}
	c, err := r.auth.credentials(ctx)
	if err != nil {
		return token{}, err
	}
	if c.Token != "" {
		return token{value: c.Token, until: time.Now().Add(time.Minute)}, nil
	}
	query := realm.Query()
	if q.service != "" {
		query.Set("service", q.service)
	}
	for _, one := range q.scope {
		query.Add("scope", one)
	}
	realm.RawQuery = query.Encode()
	var t token
	err = r.retry(ctx, always, func() (err error) {
		t, err = r.askToken(ctx, realm, c)
		return err
	})
	return t, err
}

// realm decides whether the registry may be asked for a token at an address it names (V-11): a hostile or broken-into
// one would name its own, and be given the credentials.
func (r *Registry) realm(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return nil, refusal(registry.CodeUnauthorized, "%s asks for a token from an address that cannot be understood.", r.Host())
	case !sameHost(u, &r.base) && !listed(u, r.opt.AllowRealmHosts):
		return nil, refusal(registry.CodeUnauthorized, "%s asks to send its credentials to another host, %s. Nothing was "+
			"sent there. Allow that host as a token server of this registry if you trust it.", r.Host(), clean(u.Host))
	case u.Scheme == "http" && r.base.Scheme == "https":
		return nil, refusal(registry.CodeUnauthorized, "%s asks to send its credentials without TLS. Nothing was sent.", r.Host())
	}
	u.Fragment = ""
	return u, nil
}

// askToken is one request to a token server. Redirects are not followed: they would carry the credentials on.
func (r *Registry) askToken(ctx context.Context, realm *url.URL, c Credentials) (token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return token{}, err
	}
	req.Header.Set("User-Agent", r.opt.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if c.Username != "" || c.Password != "" {
		req.Header.Set("Authorization", basic(c))
	}
	asked := time.Now()
	resp, err := r.client.Do(req)
	if err != nil {
		return token{}, r.unreachable(ctx, realm.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		return token{}, r.noToken(resp, realm)
	}
	defer resp.Body.Close()
	body, err := r.readAll(ctx, resp, maxToken)
	if err != nil {
		return token{}, err
	}
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" && answer.AccessToken == "" {
		return token{}, refusal(registry.CodeUnauthorized, "The token server of %s, %s, did not answer with a token.",
			r.Host(), clean(realm.Host))
	}
	if answer.Token == "" {
		answer.Token = answer.AccessToken
	}
	return token{value: answer.Token, until: asked.Add(lifetime(answer.ExpiresIn))}, nil
}

// lifetime is for how long a token is used: 60 s if the server does not say (token protocol), at most an hour so that a
// withdrawn right is noticed, and a tenth less, because clocks differ and requests take time.
func lifetime(seconds float64) time.Duration {
	if !(seconds > 0) {
		seconds = 60
	}
	return time.Duration(min(seconds, 3600) * 0.9 * float64(time.Second))
}

// noToken is failure in the words of a token server.
func (r *Registry) noToken(resp *http.Response, realm *url.URL) error {
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusBadRequest:
		discard(resp)
		return refusal(registry.CodeUnauthorized, "The token server of %s, %s, refuses the credentials that are set for it "+
			"(%d). Check user and password.", r.Host(), clean(realm.Host), status)
	case status < 400:
		discard(resp)
		return refusal(registry.CodeUnauthorized, "The token server of %s, %s, redirects. That is not followed, because "+
			"credentials would go there.", r.Host(), clean(realm.Host))
	}
	return r.failure(resp, &call{unknown: registry.CodeUnauthorized, invalid: registry.CodeUnauthorized})
}
