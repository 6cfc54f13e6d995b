package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hallmarkhub/hallmark/core"
)

// MaxBody is how large a JSON body may be.
const MaxBody = 1 << 20

// maxDepth is how deep a JSON body may nest. No body of the API comes near.
const maxDepth = 32

// ReadJSON reads the body of a request and makes sure that it is one JSON value that no two programs read differently:
// UTF-8, no name twice, nothing after it. It returns nil for an absent body. limit is MaxBody but for tests.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, core.Errorf(core.CodeInvalid, "The body could not be read to its end.")
	case len(body) == 0:
		return nil, nil
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := strings.ToLower(params["charset"]); err != nil || kind != "application/json" || charset != "" && charset != "utf-8" {
		return nil, core.Errorf(core.CodeMediaType, "The body must be JSON: send it with Content-Type: application/json.")
	}
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return core.Errorf(core.CodeTooLarge, "The body may have at most %d bytes.", limit)
}

func wellFormed(body []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return notJSON(err)
		}
		if dec.StackDepth() > maxDepth {
			return core.Errorf(core.CodeInvalid, "The body nests deeper than %d levels.", maxDepth)
		}
		if dec.StackDepth() == 0 && len(bytes.TrimSpace(body[dec.InputOffset():])) > 0 {
			return core.Errorf(core.CodeInvalid, "The body must be one JSON value; there is something after it.")
		}
	}
}

func notJSON(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return core.Errorf(core.CodeInvalid, "The body is not JSON.")
	}
	where := string(syntax.JSONPointer)
	if errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
		return core.Invalid(where, "This field is there twice.")
	}
	return core.Invalid(where, "%s", fmt.Sprintf("The body is not valid JSON at byte %d.", syntax.ByteOffset))
}
