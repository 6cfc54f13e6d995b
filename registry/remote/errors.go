package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/hallmarkhub/hallmark/registry"
)

func refusal(code registry.Code, format string, args ...any) *registry.Error {
	return registry.NewError(code, fmt.Sprintf(format, args...))
}

// said is one error of the other side's answer.
type said struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Detail  json.RawMessage `json:"detail"`
}

// failure turns an answer that is no success into an error, and closes it.
func (r *Registry) failure(resp *http.Response, c *call) error {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what was not read is not needed
	var answer struct {
		Errors []said `json:"errors"`
	}
	_ = json.Unmarshal(body, &answer) // any format is allowed, ours is just the usual one
	var first said
	if len(answer.Errors) > 0 {
		first = answer.Errors[0]
	}
	e := registry.NewError(codeOf(resp.StatusCode, first.Code, c), r.sentence(resp.StatusCode, first))
	e.RetryAfter = retryAfter(resp.Header)
	switch resp.StatusCode {
	case http.StatusPreconditionFailed:
		return &changed{refusal(registry.CodeUnavailable, "Somebody else changes the same thing on %s. Try again.", r.Host())}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return &transient{error: e, refused: true, after: e.RetryAfter}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return &transient{error: e, after: e.RetryAfter}
	}
	return e
}

// changed is the error of a conditional write whose condition does not hold (412).
type changed struct{ error }

func (c *changed) Unwrap() error { return c.error }

// codeOf chooses the code of an answer. The status says of what kind it is, since proxies in between know nothing else;
// the other side's own code makes it precise.
func codeOf(status int, code string, c *call) registry.Code {
	theirs := registry.Code(code)
	switch status {
	case http.StatusUnauthorized:
		return registry.CodeUnauthorized
	case http.StatusForbidden:
		return registry.CodeDenied
	case http.StatusNotFound:
		if theirs == registry.CodeNameUnknown {
			return theirs
		}
		return orUnknown(c.unknown)
	case http.StatusMethodNotAllowed:
		return registry.CodeUnsupported
	case http.StatusRequestEntityTooLarge:
		return registry.CodeTooLarge
	case http.StatusRequestedRangeNotSatisfiable:
		return registry.CodeRangeInvalid
	case http.StatusTooManyRequests:
		return registry.CodeTooManyRequests
	case http.StatusInsufficientStorage:
		return registry.CodeNoSpace
	}
	if status >= 500 {
		return registry.CodeUnavailable
	}
	switch theirs {
	case registry.CodeBlobUnknown, registry.CodeBlobUploadInvalid, registry.CodeBlobUploadUnknown,
		registry.CodeDigestInvalid, registry.CodeManifestBlobUnknown, registry.CodeManifestInvalid,
		registry.CodeManifestUnknown, registry.CodeNameInvalid, registry.CodeNameUnknown, registry.CodeSizeInvalid,
		registry.CodeDenied, registry.CodeUnsupported, registry.CodeTagInvalid, registry.CodeRangeInvalid,
		registry.CodeTooLarge, registry.CodeNoSpace:
		return theirs
	case "PAGINATION_NUMBER_INVALID":
		return registry.CodeQueryInvalid
	}
	return orUnknown(c.invalid)
}

func orUnknown(code registry.Code) registry.Code {
	if code == "" {
		return registry.CodeUnknown
	}
	return code
}

// sentence tells a person what the other side said, and who said it.
func (r *Registry) sentence(status int, s said) string {
	var head string
	switch status {
	case http.StatusUnauthorized:
		head = r.Host() + " does not accept the credentials that are set for it, or wants some"
	case http.StatusForbidden:
		head = r.Host() + " denies this to the credentials that are set for it"
	default:
		head = fmt.Sprintf("%s answers %d", r.Host(), status)
	}
	text := clean(strings.Trim(strings.Join([]string{s.Code, s.Message, scalars(s.Detail)}, " "), " "))
	if text == "" {
		return head + "."
	}
	return head + ": " + text
}

// scalars returns the strings of a detail, which is where registries name the digest they miss.
func scalars(detail json.RawMessage) string {
	var one string
	if json.Unmarshal(detail, &one) == nil {
		return one
	}
	var some map[string]any
	if json.Unmarshal(detail, &some) != nil {
		return ""
	}
	for _, name := range []string{"digest", "Digest", "message", "reason"} {
		if text, ok := some[name].(string); ok {
			return text
		}
	}
	return ""
}

// clean makes foreign text fit for a terminal and a log: printable, on one line, at most 300 characters.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > 300 {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			c = ' '
		}
		b.WriteRune(c)
	}
	return b.String()
}
