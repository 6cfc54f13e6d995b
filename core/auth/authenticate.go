package auth

import (
	"net/http"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Registry is the principal of a request under /v2: a registry token as Bearer; a password, personal token or robot as
// Basic; nothing: anonymous. Cookies are not looked at, and neither is any header but Authorization. A valid token whose
// owner has gone is refused from the moment on in which the Directory knows. The error is a *core.Error, with
// CodeUnauthenticated for whatever is wrong with the credentials, or one of the database.
func (a *Authenticator) Registry(r *http.Request) (*core.Principal, error) {
	c, err := parseAuthorization(r.Header)
	if err != nil {
		return nil, err
	}
	switch c.scheme {
	case schemeBearer:
		v, err := a.tokens.verify(r.Context(), c.secret)
		if err != nil {
			return nil, err
		}
		return a.tokenPrincipal(r.Context(), v)
	case schemeBasic:
		p, err := a.basic(r.Context(), a.proxies.Client(r), c.user, c.secret)
		return p.Principal, err
	}
	return core.Anonymous(), nil
}

// API is the principal of a request under /api: a password, personal token or robot as Basic; a personal token or a
// robot's secret as Bearer; a session cookie; nothing: anonymous. Registry tokens are refused. A request with
// Authorization is judged by that alone, whatever cookies it has. Errors are as those of Registry.
func (a *Authenticator) API(r *http.Request) (*core.Principal, error) {
	c, err := parseAuthorization(r.Header)
	if err != nil {
		return nil, err
	}
	switch c.scheme {
	case schemeBearer:
		switch {
		case strings.HasPrefix(c.secret, seal.PersonalPrefix):
			return a.personalToken(r.Context(), c.secret)
		case strings.HasPrefix(c.secret, seal.RobotPrefix):
			p, err := a.robotSecret(r.Context(), c.secret)
			return p.Principal, err
		}
		return nil, malformed("this Bearer token is of no use here: take a personal token (hmp_...) or a robot's secret (hmr_...)")
	case schemeBasic:
		p, err := a.basic(r.Context(), a.proxies.Client(r), c.user, c.secret)
		return p.Principal, err
	}
	if secret := a.cookie(r); secret != "" {
		return a.sessionPrincipal(r.Context(), secret)
	}
	return core.Anonymous(), nil
}
