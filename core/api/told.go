package api

import (
	"errors"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// told gives an error of the registry the code under which this API tells of it. Who asks is known here, so that what a
// registry's client would be asked to log in for is forbidden.
func told(err error) error {
	var e *registry.Error
	if !errors.As(err, &e) {
		return err
	}
	var code core.ErrorCode
	switch e.Code {
	case registry.CodeNameUnknown, registry.CodeManifestUnknown, registry.CodeBlobUnknown, registry.CodeBlobUploadUnknown:
		code = core.CodeNotFound
	case registry.CodeNameInvalid, registry.CodeDigestInvalid, registry.CodeTagInvalid, registry.CodeManifestInvalid,
		registry.CodeSizeInvalid, registry.CodeQueryInvalid, registry.CodeRangeInvalid, registry.CodeBlobUploadInvalid:
		code = core.CodeInvalid
	case registry.CodeManifestBlobUnknown, registry.CodeUnsupported:
		code = core.CodeConflict
	case registry.CodeDenied, registry.CodeUnauthorized:
		code = core.CodeForbidden
	case registry.CodeTooManyRequests:
		code = core.CodeTooMany
	case registry.CodeTooLarge:
		code = core.CodeTooLarge
	case registry.CodeUnavailable, registry.CodeNoSpace:
		code = core.CodeUnavailable
	default:
		return err // internal: not for showing
	}
	return &core.Error{Code: code, Message: e.Message, RetryAfter: e.RetryAfter}
}
