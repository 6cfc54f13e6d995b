package core

import (
	"errors"
	"fmt"
	"time"
)

// ErrorCode is the stable code of an error in the admin API. The set is closed; clients and the portal translate it.
type ErrorCode string

// The codes.
const (
	CodeInvalid         ErrorCode = "invalid"         // 400: the request is not well-formed or a field is not acceptable
	CodeUnauthenticated ErrorCode = "unauthenticated" // 401
	CodeForbidden       ErrorCode = "forbidden"       // 403
	CodeNotFound        ErrorCode = "not_found"       // 404, also for what one may not know of
	CodeConflict        ErrorCode = "conflict"        // 409: exists already, or is still in use
	CodeStale           ErrorCode = "stale"           // 412: changed since it was read
	CodeIfMatchRequired ErrorCode = "if_match_needed" // 428
	CodeTooLarge        ErrorCode = "too_large"       // 413
	CodeMediaType       ErrorCode = "media_type"      // 415
	CodeLimit           ErrorCode = "limit"           // 422: a limit of the hub would be passed
	CodeTooMany         ErrorCode = "too_many"        // 429
	CodeReauthenticate  ErrorCode = "reauthenticate"  // 401: the password is asked for again
	CodeNotAllowed      ErrorCode = "not_allowed"     // 405
	CodeUnavailable     ErrorCode = "unavailable"     // 503
	CodeInternal        ErrorCode = "internal"        // 500
)

// Error is what a person is told: a code of the closed set and a sentence that says what to do next.
type Error struct {
	Code       ErrorCode
	Message    string
	Fields     []FieldError
	RetryAfter time.Duration
}

// FieldError says which field of a body or which parameter is not acceptable, and why.
type FieldError struct {
	Pointer string // JSON pointer ("/name") or the name of a parameter
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf makes an Error.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes an Error about one field.
func Invalid(pointer, format string, args ...any) *Error {
	m := fmt.Sprintf(format, args...)
	return &Error{Code: CodeInvalid, Message: m, Fields: []FieldError{{Pointer: pointer, Message: m}}}
}

// CodeOf returns the code of err: CodeInternal if it has none, "" for nil.
func CodeOf(err error) ErrorCode {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
