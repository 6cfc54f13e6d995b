package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// WellFormed says whether a blob is one strict JSON object (RFC 7493: no duplicate names, valid UTF-8) of at most
// MaxArtifact bytes, as every blob of a trust artifact is. The error says what is wrong, or is that of reading r.
func WellFormed(r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: MaxArtifact + 1}
	err := walkJSON(jsontext.NewDecoder(limited), statementDepth, statementTokens)
	if limited.N <= 0 {
		return fmt.Errorf("it has more than %d bytes", MaxArtifact)
	}
	return err
}

// boundJSON makes sure that data is one strict JSON object within these bounds, before a parser builds something of it.
func boundJSON(data []byte, depth, tokens int) error {
	return walkJSON(jsontext.NewDecoder(bytes.NewBuffer(data)), depth, tokens)
}

func walkJSON(dec *jsontext.Decoder, depth, tokens int) error {
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
			return jsonError(dec, err)
		}
		return errors.New("it is not a JSON object")
	}
	for n := 0; ; n++ {
		_, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return jsonError(dec, err)
		case n > 0 && n == tokens:
			return fmt.Errorf("its JSON has more than %d tokens", tokens)
		case dec.StackDepth() > depth:
			return fmt.Errorf("its JSON is nested deeper than %d levels", depth)
		case dec.StackDepth() == 0 && dec.PeekKind() != 0:
			return errors.New("more JSON follows the object")
		}
	}
}

// jsonError tells where the JSON is wrong; the decoder's own words would quote it.
func jsonError(dec *jsontext.Decoder, err error) error {
	at := dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		return err
	}
	at = max(at, syntactic.ByteOffset)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Errorf("an object in its JSON has the same member twice (at byte %d)", at)
	}
	return fmt.Errorf("it is not strict JSON (at byte %d)", at)
}

// members calls f with each member of the JSON object data. What f gets refers to data.
func members(data []byte, f func(name string, value jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if _, err := dec.ReadToken(); err != nil {
		return jsonError(dec, err)
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return jsonError(dec, err)
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return jsonError(dec, err)
		}
		// The decoder's own slice is only good until its next call.
		end := int(dec.InputOffset())
		if err := f(name, data[end-len(value):end]); err != nil {
			return err
		}
	}
	return nil
}

// elements calls f with each element of the JSON list data, which may be null. What f gets refers to data.
func elements(data []byte, f func(value jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	token, err := dec.ReadToken()
	switch {
	case err != nil:
		return jsonError(dec, err)
	case token.Kind() == 'n':
		return nil
	case token.Kind() != '[':
		return errors.New("one of its members is no list, where a list must be")
	}
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return jsonError(dec, err)
		}
		if err := f(value); err != nil {
			return err
		}
	}
	return nil
}
