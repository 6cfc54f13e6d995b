package gatekeeper_test

import (
	"testing"

	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// FuzzAuthority: a stored authority that can be read is a key or an identity, never both and never neither, and is written
// as it was read.
func FuzzAuthority(f *testing.F) {
	for _, a := range []gatekeeper.Authority{{PublicKey: signertest.New().PEM}, {Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: issuer, Subject: workflow}}} {
		document, err := a.Document()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Add(`{"public_key":"x","identity":{"issuer":"https://x","subject_regex":".*"}}`)
	f.Fuzz(func(t *testing.T, document string) {
		a, err := gatekeeper.ParseAuthority(document)
		if err != nil {
			return
		}
		if (a.PublicKey == "") == (a.Identity == nil) {
			t.Fatalf("%+v", a)
		}
		written, err := a.Document()
		if err != nil {
			t.Fatalf("%v: %s", err, document)
		}
		if again, err := gatekeeper.ParseAuthority(written); err != nil || again.Fingerprint() != a.Fingerprint() || (again.RevokedAt == nil) != (a.RevokedAt == nil) {
			t.Errorf("%s is read as %+v, written as %s: %v", document, a, written, err)
		}
		if a.Identity != nil && a.Identity.Subject == "" && a.Identity.SubjectRegex == "" {
			t.Errorf("anybody: %+v", a.Identity)
		}
	})
}
