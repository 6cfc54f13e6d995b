package trust

import (
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hallmarkhub/hallmark/core"
)

// entity is a bundle of which the expensive parts are parsed once.
type entity struct {
	*bundle.Bundle
	content   verify.SignatureContent
	key       verify.VerificationContent
	entries   []*tlog.Entry
	stamps    [][]byte
	certified bool // signed with a certified key, not with a bare one
}

func (e *entity) SignatureContent() (verify.SignatureContent, error) { return e.content, nil }
func (e *entity) TlogEntries() ([]*tlog.Entry, error)                { return e.entries, nil }

// only is the entity with one of its log entries.
func (e *entity) only(entry *tlog.Entry) *entity {
	alone := *e
	alone.entries = []*tlog.Entry{entry}
	return &alone
}

// readBundle reads a Sigstore bundle (protobuf-specs, versions 0.1 to 0.3).
func readBundle(base core.Evidence, content []byte) ([]Item, error) {
	if err := boundJSON(content, bundleDepth, bundleTokens); err != nil {
		return nil, err
	}
	b := &bundlev1.Bundle{}
	if err := protojson.Unmarshal(content, b); err != nil {
		return nil, fmt.Errorf("it is no Sigstore bundle: %w", err)
	}
	switch {
	case b.GetMessageSignature() != nil:
		return nil, errors.New("it signs a file and makes no statement about an image (cosign sign-blob writes such bundles)")
	case b.GetDsseEnvelope() == nil:
		return nil, errors.New("it has no DSSE envelope")
	}
	it, err := statementItem(base, b.GetDsseEnvelope())
	if err != nil {
		return nil, err
	}
	it.attach(b)
	return []Item{it}, nil
}

// statementItem makes the item of an envelope with one signature. Errors mean that it cannot be read.
func statementItem(base core.Evidence, env *dssev1.Envelope) (Item, error) {
	switch {
	case env.GetPayloadType() != bundle.IntotoMediaType:
		return Item{}, fmt.Errorf("its payload has the type %s; only in-toto statements are read", quoted(env.GetPayloadType()))
	case len(env.GetSignatures()) != 1:
		return Item{}, fmt.Errorf("its envelope has %d signatures; in a bundle it must have one", len(env.GetSignatures()))
	}
	st, err := parseStatement(env.GetPayload())
	if err != nil {
		return Item{}, err
	}
	it := Item{said: st.evidence(base), message: dsse.PAE(env.GetPayloadType(), env.GetPayload())}
	if len(it.said) == 0 {
		return Item{}, errors.New("it is about nothing that a registry can hold: no subject has a sha256 or sha512 digest")
	}
	return it, nil
}

// attach adds what is needed to verify the item, or the reason why it cannot be verified.
func (it *Item) attach(b *bundlev1.Bundle) {
	e, err := newEntity(b)
	if err == nil {
		err = e.checkConfusion()
	}
	if err != nil {
		it.problem = plain(err)
		return
	}
	it.entity = e
}

func newEntity(b *bundlev1.Bundle) (*entity, error) {
	if err := checkBounds(b.GetVerificationMaterial()); err != nil {
		return nil, err
	}
	parsed, err := bundle.NewBundle(b)
	if err != nil {
		return nil, err
	}
	e := &entity{Bundle: parsed}
	if e.content, err = parsed.SignatureContent(); err != nil {
		return nil, err
	}
	if n := len(e.content.Signature()); n == 0 || n > maxSignature {
		return nil, fmt.Errorf("its signature has %d bytes", n)
	}
	if e.entries, err = parsed.TlogEntries(); err != nil {
		return nil, err
	}
	if e.stamps, err = parsed.Timestamps(); err != nil {
		return nil, err
	}
	e.key, err = parsed.VerificationContent()
	if err != nil {
		return nil, err
	}
	e.certified = e.key.Certificate() != nil
	if !e.certified && e.key.PublicKey() == nil {
		return nil, errors.New("it names neither a certificate nor a key")
	}
	return e, nil
}

// checkBounds holds the limits that parsing and verifying rest on.
func checkBounds(m *bundlev1.VerificationMaterial) error {
	certs := m.GetX509CertificateChain().GetCertificates()
	if c := m.GetCertificate(); c != nil {
		certs = append(certs, c)
	}
	if len(certs) > maxChain {
		return fmt.Errorf("it has %d certificates; the limit is %d", len(certs), maxChain)
	}
	for _, c := range certs {
		if len(c.GetRawBytes()) > maxCertificate {
			return fmt.Errorf("one of its certificates has more than %d bytes", maxCertificate)
		}
	}
	stamps := m.GetTimestampVerificationData().GetRfc3161Timestamps()
	if len(stamps) > maxTimestamps {
		return fmt.Errorf("it has %d timestamps; the limit is %d", len(stamps), maxTimestamps)
	}
	for _, s := range stamps {
		if len(s.GetSignedTimestamp()) > maxTimestamp {
			return fmt.Errorf("one of its timestamps has more than %d bytes", maxTimestamp)
		}
	}
	return checkEntries(m)
}

func checkEntries(m *bundlev1.VerificationMaterial) error {
	if n := len(m.GetTlogEntries()); n > maxEntries {
		return fmt.Errorf("it has %d transparency log entries; the limit is %d", n, maxEntries)
	}
	for _, t := range m.GetTlogEntries() {
		proof := t.GetInclusionProof()
		switch {
		case len(t.GetCanonicalizedBody()) > maxEntryBody, len(proof.GetCheckpoint().GetEnvelope()) > maxEntryBody:
			return fmt.Errorf("one of its transparency log entries has more than %d bytes", maxEntryBody)
		case len(proof.GetHashes()) > maxProofHashes:
			return fmt.Errorf("one of its inclusion proofs has more than %d hashes", maxProofHashes)
		}
		if err := boundJSON(t.GetCanonicalizedBody(), entryDepth, entryTokens); err != nil {
			return fmt.Errorf("a transparency log entry: %w", err)
		}
	}
	return nil
}
