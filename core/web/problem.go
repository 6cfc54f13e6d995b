package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Problem is the body of every refusal under /api (RFC 9457). Clients read it too.
type Problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Instance  string         `json:"instance,omitempty"`
	Code      core.ErrorCode `json:"code"`
	RequestID string         `json:"request_id"`
	Errors    []FieldProblem `json:"errors,omitempty"`
}

// FieldProblem says which field or parameter is not acceptable.
type FieldProblem struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Status is the HTTP status of a code. A code that is not in the set is internal.
func Status(code core.ErrorCode) int {
	switch code {
	case core.CodeInvalid:
		return http.StatusBadRequest
	case core.CodeUnauthenticated, core.CodeReauthenticate:
		return http.StatusUnauthorized
	case core.CodeForbidden:
		return http.StatusForbidden
	case core.CodeNotFound:
		return http.StatusNotFound
	case core.CodeNotAllowed:
		return http.StatusMethodNotAllowed
	case core.CodeConflict:
		return http.StatusConflict
	case core.CodeStale:
		return http.StatusPreconditionFailed
	case core.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case core.CodeMediaType:
		return http.StatusUnsupportedMediaType
	case core.CodeLimit:
		return http.StatusUnprocessableEntity
	case core.CodeIfMatchRequired:
		return http.StatusPreconditionRequired
	case core.CodeTooMany:
		return http.StatusTooManyRequests
	case core.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// unavailableRetry is when a client may try again while the database is away.
const unavailableRetry = 2

// Errors turns errors into responses.
type Errors struct {
	Log *slog.Logger
	// Challenge is sent as WWW-Authenticate with 401; "" sends none. Browsers would answer a Basic challenge with a
	// prompt of their own, so pages get none.
	Challenge string
}

// Write answers err. What is no *core.Error is internal: it is logged here, once, and a person gets the request id to ask about it.
func (e Errors) Write(w http.ResponseWriter, r *http.Request, err error) {
	known := e.explain(r, err)
	status := Status(known.Code)
	h := w.Header()
	// What a handler had meant to send with its success does not belong to a refusal.
	for _, name := range []string{"ETag", "Link", "Location", "Content-Disposition", "Content-Length"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if known.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(known.RetryAfter.Seconds()))))
	} else if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(unavailableRetry))
	}
	if status == http.StatusUnauthorized && e.Challenge != "" {
		h.Set("WWW-Authenticate", e.Challenge)
	}
	p := Problem{
		Type: "/api/docs#code-" + string(known.Code), Title: http.StatusText(status), Status: status, Detail: sentence(known.Message),
		Instance: r.URL.EscapedPath(), Code: known.Code, RequestID: core.OriginFrom(r.Context()).RequestID,
	}
	for _, f := range known.Fields {
		p.Errors = append(p.Errors, FieldProblem{Pointer: f.Pointer, Detail: sentence(f.Message)})
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`) // strings and numbers alone: does not happen
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func (e Errors) explain(r *http.Request, err error) *core.Error {
	var known *core.Error
	switch {
	case errors.As(err, &known) && known.Code != core.CodeInternal:
		return known
	case errors.Is(err, db.ErrUnavailable):
		e.log(r, slog.LevelWarn, "the database is not there", err)
		return core.Errorf(core.CodeUnavailable, "The hub cannot reach its database at the moment. Try again in a few seconds.")
	case errors.Is(err, db.ErrFull):
		e.log(r, slog.LevelError, "the database is full", err)
		return core.Errorf(core.CodeUnavailable, "The hub has no space left to note a change. Nothing was changed; reading goes on. Tell its operator.")
	case r.Context().Err() != nil && errors.Is(err, context.DeadlineExceeded):
		e.log(r, slog.LevelWarn, "a request took too long", err)
		return core.Errorf(core.CodeUnavailable, "This took longer than a request may. Try again, or ask for less at once.")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The client has gone: nobody reads this, and it is no fault of the hub.
		return core.Errorf(core.CodeUnavailable, "The request was given up.")
	}
	e.log(r, slog.LevelError, "internal error", err)
	return core.Errorf(core.CodeInternal, "Something went wrong inside the hub. Give its operator the request id %s: the log has the reason.",
		core.OriginFrom(r.Context()).RequestID)
}

func (e Errors) log(r *http.Request, level slog.Level, message string, err error) {
	if e.Log == nil {
		return
	}
	e.Log.LogAttrs(r.Context(), level, message, slog.String("request_id", core.OriginFrom(r.Context()).RequestID),
		slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Any("error", err))
}

// sentence makes a whole sentence of a message: messages are written to stand behind a colon too.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	s = string(unicode.ToUpper(first)) + s[size:]
	if strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}
