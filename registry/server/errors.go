package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/request"
)

// statusError is an error with a status that its code does not have.
type statusError struct {
	status int
	cause  *registry.Error
}

func (e *statusError) Error() string { return e.cause.Error() }
func (e *statusError) Unwrap() error { return e.cause }

// fail is the one place that makes a response of an error.
func (c *call) fail(err error) {
	e, status := c.explain(err)
	h := c.w.Header()
	h["X-Content-Type-Options"] = []string{"nosniff"}
	switch status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{c.challenge(e)}
	case http.StatusMethodNotAllowed:
		h["Allow"] = []string{allowed(c.q.Endpoint, c.r.Method)}
	case http.StatusRequestedRangeNotSatisfiable:
		if e.Upload != nil {
			c.describeUpload(*e.Upload)
		}
	case http.StatusRequestTimeout:
		h["Connection"] = []string{"close"}
	}
	if after := retryAfter(e, status); after > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(after, 10)}
	}
	body := encodeError(e)
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		c.write(body)
	}
}

// explain finds out what to tell the client. What is not a *registry.Error is logged and not told.
func (c *call) explain(err error) (*registry.Error, int) {
	var se *statusError
	if errors.As(err, &se) {
		return se.cause, se.status
	}
	var e *registry.Error
	if !errors.As(err, &e) && c.s.opt.Translate != nil {
		err = c.s.opt.Translate(err)
	}
	if errors.As(err, &e) {
		return e, e.Code.Status()
	}
	if errors.Is(err, context.Canceled) && c.r.Context().Err() != nil {
		return registry.NewError(registry.CodeUnavailable, "The request was cancelled."), statusClientGone
	}
	if c.s.opt.RequestID != nil {
		c.id = c.s.opt.RequestID(c.ctx)
	} else {
		c.id = strings.ToLower(rand.Text())
	}
	c.s.opt.Logger.LogAttrs(c.ctx, slog.LevelError, "registry request failed", slog.String("request_id", c.id),
		slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path), slog.Any("error", err))
	return registry.NewError(registry.CodeUnknown, "Something went wrong in the registry. Try again; if it happens again, "+
		"give its operator this request id: "+c.id+"."), http.StatusInternalServerError
}

// statusClientGone is nginx's status for a client that did not wait for the answer. Nobody receives it; in a log it is no
// failure of the hub.
const statusClientGone = 499

// retryAfter returns the header's value in seconds, rounded up; 0 if there is to be none.
func retryAfter(e *registry.Error, status int) int64 {
	after := int64((e.RetryAfter + time.Second - 1) / time.Second)
	if after <= 0 && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		after = 1 // clients that get no figure try again at once
	}
	return max(after, 0)
}

// encodeError makes the body (OCI distribution specification, "Error Codes").
func encodeError(e *registry.Error) []byte {
	type entry struct {
		Code    registry.Code `json:"code"`
		Message string        `json:"message"`
		Detail  any           `json:"detail,omitempty"`
	}
	type list struct {
		Errors []entry `json:"errors"`
	}
	one := entry{Code: e.Code, Message: visible(e.Message), Detail: e.Detail}
	body, err := json.Marshal(list{[]entry{one}})
	if err != nil { // of the detail: say the rest
		one.Detail = nil
		body, _ = json.Marshal(list{[]entry{one}})
	}
	return body
}

// visible replaces control characters, because clients print the message on a terminal as it is.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// challenge is what WWW-Authenticate says (Docker's token protocol, after RFC 6750).
func (c *call) challenge(e *registry.Error) string {
	if c.s.opt.Realm == nil {
		return fmt.Sprintf("Basic realm=%s", quote(c.s.opt.ServiceName))
	}
	s := "Bearer realm=" + quote(c.s.opt.Realm(c.r)) + ",service=" + quote(c.s.opt.ServiceName)
	if e.Scope != "" {
		s += ",scope=" + quote(e.Scope)
	}
	if e.InsufficientScope {
		s += `,error="insufficient_scope"`
	}
	return s
}

// quote makes a quoted-string of RFC 9110, section 5.6.4.
func quote(s string) string {
	s = visible(s)
	if strings.ContainsAny(s, `\"`) { // hardly ever, and a Replacer costs more than the rest of a 401
		s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	}
	return `"` + s + `"`
}

// withScope adds to an error of Authenticate what a good token would need: a client whose token has expired asks for
// another one with that.
func (c *call) withScope(err error) error {
	var e *registry.Error
	if !errors.As(err, &e) || e.Code != registry.CodeUnauthorized || e.Scope != "" {
		return err
	}
	q, perr := request.Parse(c.r.Method, c.r.URL, c.s.lim.Request)
	if perr != nil {
		return err
	}
	scoped := *e
	scoped.Scope = q.Scope()
	return &scoped
}

// allowed lists the methods of an endpoint but for one that has just been refused.
func allowed(endpoint request.Endpoint, method string) string {
	var out []string
	for m := range strings.SplitSeq(endpoint.Allow(), ", ") {
		if m != method {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
}
