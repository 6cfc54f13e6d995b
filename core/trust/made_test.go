package trust

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
)

func newSecretSigner(t *testing.T) *Signer {
	t.Helper()
	secret, err := NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whatever a reader might take for a statement of the signer is one, however it is wrapped.
func TestMade(t *testing.T) {
	s, other := newSecretSigner(t), newSecretSigner(t)
	d := digest.FromString("image")
	bundle, err := s.Summarize("team/app", d, []byte(`{"verificationResult":"PASSED"}`))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		DSSEEnvelope struct {
			Payload    string
			Signatures []struct{ Sig string }
		}
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	payload, sig := b.DSSEEnvelope.Payload, b.DSSEEnvelope.Signatures[0].Sig
	raw, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	url := base64.RawURLEncoding.EncodeToString(raw)
	junk := strings.Repeat(`{"sig":"bm9uZQ=="},`, 20)
	for what, content := range map[string]string{
		"a bundle":              string(bundle),
		"an envelope":           fmt.Sprintf(`{"payload":%q,"signatures":[{"sig":%q}]}`, payload, sig),
		"among others":          fmt.Sprintf(`{"payload":%q,"signatures":[%s{"sig":%q}]}`, payload, junk, sig),
		"named twice":           fmt.Sprintf(`{"payload":%q,"payload":"e30=","signatures":[{"sig":%q,"sig":"bm9uZQ=="}]}`, payload, sig),
		"in other letters":      fmt.Sprintf(`{"Payload":%q,"signatures":[{"SIG":%q}]}`, payload, sig),
		"in the other alphabet": fmt.Sprintf(`{"payload":%q,"signatures":[{"sig":%q}]}`, url, sig),
		"escaped":               fmt.Sprintf(`{"p\u0061yload":%q,"signatures":[{"sig":%q}]}`, payload, sig),
		"with something behind": string(bundle) + "{}",
	} {
		if !s.Made([]byte(content), core.PredicateVerdict) {
			t.Errorf("%s: not seen", what)
		}
		if other.Made([]byte(content), core.PredicateVerdict) {
			t.Errorf("%s: taken for another signer's", what)
		}
		if s.Made([]byte(content), "https://spdx.dev/Document") {
			t.Errorf("%s: taken for another statement", what)
		}
	}
	if s.Made([]byte("no JSON"), core.PredicateVerdict) || s.Made(nil, core.PredicateVerdict) {
		t.Error("nothing was taken for a statement")
	}
	many := func(n int) []byte {
		return fmt.Appendf(nil, `{"payload":%q,"signatures":[%s{"sig":"bm9uZQ=="}]}`, payload, strings.Repeat(`{"sig":"bm9uZQ=="},`, n-1))
	}
	if s.Made(many(maxMade), core.PredicateVerdict) || !s.Made(many(maxMade+1), core.PredicateVerdict) {
		t.Error("the limit is another one")
	}
}
