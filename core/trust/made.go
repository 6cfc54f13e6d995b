package trust

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// maxMade bounds how many pairs of payload and signature are tried in one content.
const maxMade = 256

// Made reports whether s has signed a statement of one of these predicate types that lies in content, a bundle or an envelope. It
// reads as leniently as anybody might: whatever is called a payload or a signature counts as one. What has too many of them
// to be tried counts as made by s.
func (s *Signer) Made(content []byte, predicateTypes ...string) bool {
	var payloads, signatures [][]byte
	names := json.NewDecoder(bytes.NewReader(content))
	name := ""
	for {
		token, err := names.Token()
		if err != nil {
			break
		}
		text, ok := token.(string)
		if !ok {
			name = ""
			continue
		}
		switch name {
		case "payload":
			p := decoded(text)
			if slices.ContainsFunc(predicateTypes, func(t string) bool { return bytes.Contains(p, []byte(t)) }) { // as s writes it
				payloads = append(payloads, p)
			}
			name = ""
			continue
		case "sig":
			signatures = append(signatures, decoded(text))
			name = ""
			continue
		}
		name = strings.ToLower(text)
	}
	if len(payloads)*len(signatures) > maxMade {
		return true
	}
	for _, p := range payloads {
		for _, sig := range signatures {
			if _, ok := s.Public.signed(dsse.PAE(bundle.IntotoMediaType, p), sig); ok {
				return true
			}
		}
	}
	return false
}

// decoded reads both alphabets of base64, with padding and without.
func decoded(text string) []byte {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(strings.TrimRight(text, "=\r\n"))
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}
