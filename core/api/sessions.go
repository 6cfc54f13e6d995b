package api

import (
	"context"
	"net/http"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showSession(current string) func(*store.Session) Session {
	return func(s *store.Session) Session {
		return Session{ID: s.ID, Current: "session:"+s.ID == current, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt,
			ExpiresAt: s.ExpiresAt, IP: s.IP, UserAgent: s.UserAgent}
	}
}

// withCookies is an answer together with the cookies that were set on the way to it.
type withCookies struct {
	cookies []string
	visit   func(w http.ResponseWriter) error
}

func (v withCookies) write(w http.ResponseWriter) error {
	for _, c := range v.cookies {
		w.Header().Add("Set-Cookie", c)
	}
	return v.visit(w)
}

func (v withCookies) VisitCreateSessionResponse(w http.ResponseWriter) error { return v.write(w) }
func (v withCookies) VisitDeleteCurrentSessionResponse(w http.ResponseWriter) error {
	return v.write(w)
}
func (v withCookies) VisitVerifyCurrentSessionResponse(w http.ResponseWriter) error {
	return v.write(w)
}

// jar collects cookies for an answer that is written later.
type jar struct{ header http.Header }

func newJar() *jar                       { return &jar{header: http.Header{}} }
func (j *jar) Header() http.Header       { return j.header }
func (j *jar) Write([]byte) (int, error) { return 0, http.ErrBodyNotAllowed }
func (j *jar) WriteHeader(int)           {}
func (j *jar) cookies() []string         { return j.header.Values("Set-Cookie") }

// CreateSession logs in.
func (a *API) CreateSession(ctx context.Context, r CreateSessionRequestObject) (CreateSessionResponseObject, error) {
	c, j := callOf(ctx), newJar()
	s, err := a.auth.Login(j, c.request, r.Body.Username, r.Body.Password)
	if err != nil {
		return nil, err
	}
	out := CreateSession201JSONResponse{Body: showSession("session:" + s.ID)(s), Headers: CreateSession201ResponseHeaders{
		Location: a.location("sessions", s.ID)}}
	return withCookies{cookies: j.cookies(), visit: out.VisitCreateSessionResponse}, nil
}

// ListSessions lists the sessions of the user who asks.
func (a *API) ListSessions(ctx context.Context, r ListSessionsRequestObject) (ListSessionsResponseObject, error) {
	p := callOf(ctx).principal
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Session, bool, error) { return a.auth.Sessions(ctx, p.ID, after, n) },
		func(s *store.Session) string { return s.ID }, showSession(p.Credential))
	if err != nil {
		return nil, err
	}
	return ListSessions200JSONResponse{Body: items, Headers: ListSessions200ResponseHeaders{Link: link}}, nil
}

// DeleteSessions logs the user who asks out everywhere.
func (a *API) DeleteSessions(ctx context.Context, _ DeleteSessionsRequestObject) (DeleteSessionsResponseObject, error) {
	return DeleteSessions204Response{}, a.store.DeleteSessions(ctx, callOf(ctx).principal.ID)
}

// DeleteSession ends a session of the user who asks.
func (a *API) DeleteSession(ctx context.Context, r DeleteSessionRequestObject) (DeleteSessionResponseObject, error) {
	return DeleteSession204Response{}, a.store.DeleteSession(ctx, callOf(ctx).principal.ID, r.ID)
}

// DeleteCurrentSession logs out.
func (a *API) DeleteCurrentSession(ctx context.Context, _ DeleteCurrentSessionRequestObject) (DeleteCurrentSessionResponseObject, error) {
	c, j := callOf(ctx), newJar()
	if err := a.auth.Logout(j, c.request, c.principal); err != nil {
		return nil, err
	}
	return withCookies{cookies: j.cookies(), visit: DeleteCurrentSession204Response{}.VisitDeleteCurrentSessionResponse}, nil
}

// VerifyCurrentSession takes the password again and replaces the cookie.
func (a *API) VerifyCurrentSession(ctx context.Context, r VerifyCurrentSessionRequestObject) (VerifyCurrentSessionResponseObject, error) {
	c, j := callOf(ctx), newJar()
	err := a.auth.Reauthenticate(j, c.request, c.principal, r.Body.Password)
	if core.CodeOf(err) == core.CodeUnauthenticated {
		return nil, core.Invalid("/password", "this is not your password")
	}
	if err != nil {
		return nil, err
	}
	s, err := a.store.Session(ctx, c.principal.ID, sessionID(c.principal))
	if err != nil {
		return nil, err
	}
	out := VerifyCurrentSession200JSONResponse(showSession(c.principal.Credential)(s))
	return withCookies{cookies: j.cookies(), visit: out.VisitVerifyCurrentSessionResponse}, nil
}
