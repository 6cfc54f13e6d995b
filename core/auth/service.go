package auth

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/registry"
)

// maxTokenRequest is the longest query or form of a token request, in bytes (security.md, e).
const maxTokenRequest = 8 << 10

// TokenService serves /service/token: GET as the docker token specification has it, with Basic or nothing, and POST as
// its OAuth2 variant has it (containerd, docker), with the grant types password and refresh_token. What serves as a
// refresh token is a personal token or a robot's secret; none is issued. An answer grants what was asked for and is
// allowed; asking for more is no error. note is told who asks, for the access log; it may be nil.
func (a *Authenticator) TokenService(note func(http.ResponseWriter, *core.Principal)) http.Handler {
	return tokenService{a, note}
}

type tokenService struct {
	*Authenticator
	note func(http.ResponseWriter, *core.Principal)
}

// tokenAnswer is the body of an answer.
type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"` // the same, under the name OAuth2 gives it
	ExpiresIn   int64  `json:"expires_in"`   // seconds
	IssuedAt    string `json:"issued_at"`    // RFC 3339
	Scope       string `json:"scope,omitzero"`
}

func (s tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.answer(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client has gone
}

func (s tokenService) answer(w http.ResponseWriter, r *http.Request) (*tokenAnswer, error) {
	var form url.Values
	var p proven
	var err error
	switch r.Method {
	case http.MethodGet:
		if form, err = parseForm(r.URL.RawQuery); err == nil {
			p, err = s.fromHeader(r)
		}
	case http.MethodPost:
		if form, err = readForm(w, r); err == nil {
			p, err = s.fromForm(r, form)
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		err = core.Errorf(core.CodeNotAllowed, "a token is asked for with GET or POST")
	}
	if err != nil {
		return nil, err
	}
	if s.note != nil {
		s.note(w, p.Principal)
	}
	if service := form.Get("service"); service != "" && service != s.service {
		return nil, core.Errorf(core.CodeInvalid, "this token service makes tokens for %q only: log in anew, the hub's name may have changed", s.service)
	}
	requested, err := access.ParseScopes(form["scope"])
	if err != nil {
		return nil, err
	}
	return s.issue(r.Context(), p, requested, r.Method == http.MethodPost)
}

func (s tokenService) issue(ctx context.Context, p proven, requested []access.Scope, oauth bool) (*tokenAnswer, error) {
	granted, err := s.guard.Granted(ctx, p.Principal, requested)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("the rights for a token could not be looked up", "error", err, "request_id", core.OriginFrom(ctx).RequestID)
		}
		e := core.Errorf(core.CodeUnavailable, "the hub cannot look up rights at the moment: try again in a few seconds")
		e.RetryAfter = 2 * time.Second
		return nil, e
	}
	token, at, err := s.tokens.issue(ctx, p, entriesOf(granted))
	if err != nil {
		return nil, err
	}
	answer := &tokenAnswer{Token: token, AccessToken: token, ExpiresIn: int64(s.tokens.life / time.Second), IssuedAt: at.Format(time.RFC3339)}
	if oauth {
		var texts []string
		for _, g := range granted {
			texts = append(texts, g.String())
		}
		answer.Scope = strings.Join(texts, " ")
	}
	return answer, nil
}

// fromHeader is who asks by GET. A registry token is no way to get the next one.
func (s tokenService) fromHeader(r *http.Request) (proven, error) {
	c, err := parseAuthorization(r.Header)
	switch {
	case err != nil:
		return proven{}, err
	case c.scheme == schemeBasic:
		return s.basic(r.Context(), s.proxies.Client(r), c.user, c.secret)
	case c.scheme == schemeBearer:
		return s.fromSecret(r.Context(), c.secret)
	}
	return proven{Principal: core.Anonymous()}, nil
}

// fromForm is who asks by POST.
func (s tokenService) fromForm(r *http.Request, form url.Values) (proven, error) {
	if len(r.Header["Authorization"]) > 0 && form.Get("grant_type") != "" {
		return proven{}, core.Errorf(core.CodeInvalid, "there are credentials in the form and in the Authorization header: send them once")
	}
	switch form.Get("grant_type") {
	case "password":
		user, secret := form.Get("username"), form.Get("password")
		if user == "" || len(user) > maxUser || strings.IndexByte(user+secret, 0) >= 0 {
			return proven{}, errLogin()
		}
		return s.basic(r.Context(), s.proxies.Client(r), user, secret)
	case "refresh_token":
		return s.fromSecret(r.Context(), form.Get("refresh_token"))
	case "":
		return s.fromHeader(r)
	}
	return proven{}, core.Errorf(core.CodeInvalid, "grant_type is password or refresh_token")
}

func (s tokenService) fromSecret(ctx context.Context, secret string) (proven, error) {
	switch {
	case strings.HasPrefix(secret, seal.PersonalPrefix):
		p, err := s.personalToken(ctx, secret)
		return proven{Principal: p}, err
	case strings.HasPrefix(secret, seal.RobotPrefix):
		return s.robotSecret(ctx, secret)
	}
	return proven{}, core.Errorf(core.CodeUnauthenticated, "this token is of no use here: log in with a password, a personal token (hmp_...) or a robot's secret (hmr_...)")
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, core.Errorf(core.CodeMediaType, "a token request by POST is a form: application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenRequest)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, tooLarge()
		}
		return nil, core.Errorf(core.CodeInvalid, "the form is not well-formed")
	}
	return r.PostForm, nil
}

func parseForm(query string) (url.Values, error) {
	if len(query) > maxTokenRequest {
		return nil, tooLarge()
	}
	form, err := url.ParseQuery(query)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalid, "the query is not well-formed")
	}
	return form, nil
}

func tooLarge() *core.Error {
	return core.Errorf(core.CodeTooLarge, "a token request has at most %d bytes: ask for fewer scopes at once", maxTokenRequest)
}

// fail answers in the JSON of the OCI distribution specification ("Error Codes"), of which docker shows the message.
func (s tokenService) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *core.Error
	if !errors.As(err, &e) {
		if e = s.unforeseen(r, err); e == nil {
			return
		}
	}
	code := RegistryCode(e.Code)
	status := code.Status()
	if e.Code == core.CodeMediaType {
		status = http.StatusUnsupportedMediaType // what it does not take is the form, not the method
	}
	h := w.Header()
	if e.Code == core.CodeUnauthenticated {
		h.Set("WWW-Authenticate", `Basic realm="`+s.service+`", charset="UTF-8"`)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	type entry struct {
		Code    registry.Code `json:"code"`
		Message string        `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(struct {
		Errors []entry `json:"errors"`
	}{[]entry{{code, e.Message}}})
}

// unforeseen is what to say of an error that is none of the domain; nil: the client has gone.
func (s tokenService) unforeseen(r *http.Request, err error) *core.Error {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return nil
	}
	if errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		return core.Errorf(core.CodeUnavailable, "the hub took too long to make a token: try again in a few seconds")
	}
	id := core.OriginFrom(r.Context()).RequestID
	s.log.Error("token request failed", "error", err, "request_id", id)
	return core.Errorf(core.CodeInternal, "the hub could not make a token; its log says why (request %s)", id)
}

// RegistryCode is the code under which the registry API, and the token service, tell of an error of the domain.
func RegistryCode(c core.ErrorCode) registry.Code {
	switch c {
	case core.CodeUnauthenticated:
		return registry.CodeUnauthorized
	case core.CodeForbidden:
		return registry.CodeDenied
	case core.CodeTooMany:
		return registry.CodeTooManyRequests
	case core.CodeInvalid:
		return registry.CodeQueryInvalid
	case core.CodeTooLarge:
		return registry.CodeTooLarge
	case core.CodeMediaType, core.CodeNotAllowed:
		return registry.CodeUnsupported
	case core.CodeUnavailable:
		return registry.CodeUnavailable
	}
	return registry.CodeUnknown
}
