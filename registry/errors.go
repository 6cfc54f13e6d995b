package registry

import (
	"errors"
	"net/http"
	"time"
)

// Code is an error code of the OCI distribution specification 1.1 ("Error Codes"), or one of ours where the
// specification has none. The set is closed.
type Code string

// The codes of the specification.
const (
	CodeBlobUnknown         Code = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	CodeDigestInvalid       Code = "DIGEST_INVALID"
	CodeManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     Code = "MANIFEST_INVALID"
	CodeManifestUnknown     Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid         Code = "NAME_INVALID"
	CodeNameUnknown         Code = "NAME_UNKNOWN"
	CodeSizeInvalid         Code = "SIZE_INVALID"
	CodeUnauthorized        Code = "UNAUTHORIZED"
	CodeDenied              Code = "DENIED"
	CodeUnsupported         Code = "UNSUPPORTED"
	CodeTooManyRequests     Code = "TOOMANYREQUESTS"
)

// Ours.
const (
	CodeTagInvalid   Code = "TAG_INVALID"
	CodeQueryInvalid Code = "QUERY_INVALID" // a parameter that is no number, or out of range
	CodeRangeInvalid Code = "RANGE_INVALID" // not the upload's offset, or somebody else writes to it
	CodeTooLarge     Code = "TOO_LARGE"
	CodeUnavailable  Code = "UNAVAILABLE" // try again
	CodeNoSpace      Code = "NO_SPACE"
	CodeUnknown      Code = "UNKNOWN"
)

// Status returns the HTTP status of a code. What the specification leaves open is as in Docker's registry.
func (c Code) Status() int {
	switch c {
	case CodeBlobUnknown, CodeBlobUploadUnknown, CodeManifestUnknown, CodeNameUnknown:
		return http.StatusNotFound
	case CodeBlobUploadInvalid, CodeDigestInvalid, CodeManifestBlobUnknown, CodeManifestInvalid, CodeNameInvalid,
		CodeSizeInvalid, CodeTagInvalid, CodeQueryInvalid:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeDenied:
		return http.StatusForbidden
	case CodeUnsupported: // "Deleting tags" and others: 400 or 405 for what is disabled
		return http.StatusMethodNotAllowed
	case CodeTooManyRequests:
		return http.StatusTooManyRequests
	case CodeRangeInvalid:
		return http.StatusRequestedRangeNotSatisfiable
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeNoSpace:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// Error is what a client is told. Message is a sentence for a person that says what to do next, because docker shows
// nothing else.
type Error struct {
	Code       Code
	Message    string
	Detail     any           // JSON, may be nil
	RetryAfter time.Duration // sent as Retry-After when it is not 0
	// Scope is set with CodeUnauthorized: what a token would need, e.g. "repository:p/app:pull".
	Scope string
	// InsufficientScope: there was a token, but not for this.
	InsufficientScope bool
	// Upload is set with CodeRangeInvalid: where the upload really stands.
	Upload *Upload
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// NewError makes an Error.
func NewError(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// CodeOf returns the code of err, CodeUnknown for an error that has none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeUnknown
}
