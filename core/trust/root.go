package trust

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/hallmarkhub/hallmark/core"
)

// PublicGoodName is what the trust root of Sigstore's public instance is called.
const PublicGoodName = "public-good"

// publicGood is pkg/tuf/repository/targets/trusted_root.json of github.com/sigstore/sigstore v1.10.8, unchanged: its
// Fulcio authorities, Rekor version 1 and certificate transparency logs.
//
//go:embed roots/public-good.json
var publicGood []byte

// PublicGood returns the trusted_root.json of Sigstore's public instance that is shipped. Instances come and go; a newer
// file can be registered under another name.
func PublicGood() []byte { return slices.Clone(publicGood) }

// TrustRoot is a parsed trusted_root.json: the authorities and logs of one Sigstore instance. It does not change and may
// be used concurrently.
type TrustRoot struct {
	Authorities []Party // issue certificates (Fulcio)
	Logs        []Party // transparency logs of signatures (Rekor)
	Timestamps  []Party // timestamp authorities
	CertLogs    []Party // transparency logs of certificates

	material    *root.TrustedRoot
	authorities map[root.TimestampingAuthority]string // the party behind each: core.SignedTime.By
	logKeys     map[string]string                     // by id of a transparency log: the hash of its key
}

// Party is one of them, for display.
type Party struct {
	Name string // of the root certificate, or the address of a log
	URI  string
	ID   string // hex: the id of a log, the SHA-256 of a root certificate
	// When it signs; Until is zero if it still does.
	From, Until time.Time
}

// ParseTrustRoot reads a trusted_root.json (Sigstore's protobuf-specs, media type
// application/vnd.dev.sigstore.trustedroot+json;version=0.1). A root by which nothing could ever be verified is refused.
// Errors are *core.Error with CodeInvalid.
func ParseTrustRoot(text []byte) (r *TrustRoot, err error) {
	defer func() {
		if recover() != nil {
			r, err = nil, invalidRoot("The trust root is damaged: the parser gave up on it.")
		}
	}()
	if len(text) > maxTrustRoot {
		return nil, invalidRoot("The trust root has %d bytes; the limit is %d.", len(text), maxTrustRoot)
	}
	if err := boundJSON(text, bundleDepth, bundleTokens); err != nil {
		return nil, invalidRoot("This is no trusted_root.json: %s.", plain(err))
	}
	material, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, invalidRoot("This is no trusted_root.json that can be used: %s.", plain(err))
	}
	r = &TrustRoot{material: material, authorities: map[root.TimestampingAuthority]string{}}
	if err := r.list(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func invalidRoot(format string, args ...any) error {
	return core.Errorf(core.CodeInvalid, format, args...)
}

func (r *TrustRoot) list() error {
	for _, ca := range r.material.FulcioCertificateAuthorities() {
		f, ok := ca.(*root.FulcioCertificateAuthority)
		if !ok || f.Root == nil {
			return invalidRoot("One of the certificate authorities has no root certificate.")
		}
		r.Authorities = append(r.Authorities, certParty(f.Root, f.URI, f.ValidityPeriodStart, f.ValidityPeriodEnd))
	}
	for _, tsa := range r.material.TimestampingAuthorities() {
		t, ok := tsa.(*root.SigstoreTimestampingAuthority)
		if !ok || t.Root == nil {
			return invalidRoot("One of the timestamp authorities has no root certificate: its chain must end in one.")
		}
		p := certParty(t.Root, t.URI, t.ValidityPeriodStart, t.ValidityPeriodEnd)
		r.Timestamps = append(r.Timestamps, p)
		r.authorities[tsa] = p.URI
		if p.URI == "" {
			r.authorities[tsa] = p.ID
		}
	}
	var err error
	if r.Logs, r.logKeys, err = logParties(r.material.RekorLogs()); err == nil {
		r.CertLogs, _, err = logParties(r.material.CTLogs())
	}
	return err
}

// check refuses what would only disappoint later.
func (r *TrustRoot) check() error {
	switch {
	case len(r.Authorities)+len(r.Logs)+len(r.Timestamps) == 0:
		return invalidRoot("The trust root is empty: it names no certificate authority, no transparency log and no timestamp authority.")
	case len(r.Logs)+len(r.Timestamps) == 0:
		return invalidRoot("The trust root names neither a transparency log nor a timestamp authority. Without them nobody " +
			"can say when a short-lived certificate was used, and so no signature could be verified.")
	}
	return nil
}

func certParty(c *x509.Certificate, uri string, from, until time.Time) Party {
	sum := sha256.Sum256(c.Raw)
	return Party{Name: shortened(c.Subject.String()), URI: uri, ID: hex.EncodeToString(sum[:]), From: from, Until: until}
}

// logParties lists logs by id, with the hash of each one's key.
func logParties(logs map[string]*root.TransparencyLog) ([]Party, map[string]string, error) {
	var parties []Party
	keys := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(logs)) {
		l := logs[id]
		hash, err := keyHash(l.PublicKey)
		if err != nil {
			return nil, nil, invalidRoot("The key of the log %s cannot be used.", quoted(l.BaseURL))
		}
		keys[id] = hash
		parties = append(parties, Party{Name: l.BaseURL, URI: l.BaseURL, ID: id, From: l.ValidityPeriodStart, Until: l.ValidityPeriodEnd})
	}
	return parties, keys, nil
}

func keyHash(k crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), err
}
