package gatekeeper

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// Authority is a key or an identity whose signatures count, as it is stored and as the API shows it. Exactly one of
// PublicKey and Identity is set.
type Authority struct {
	Description string     `json:"description,omitempty"`
	PublicKey   string     `json:"public_key,omitempty"` // PEM
	Identity    *Identity  `json:"identity,omitempty"`
	NotBefore   *time.Time `json:"not_before,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	RevokedAt   *time.Time `json:"revoked_at,omitempty"`
}

// Identity is whom a certificate authority of a trust root must have vouched for.
type Identity struct {
	TrustRoot    string            `json:"trust_root"`
	Issuer       string            `json:"issuer"`
	Subject      string            `json:"subject,omitempty"`
	SubjectRegex string            `json:"subject_regex,omitempty"`
	Extensions   map[string]string `json:"extensions,omitempty"`
	// WithoutSCT and WithoutLog do without what the public-good instance has: for private ones.
	WithoutSCT bool `json:"without_sct,omitempty"`
	WithoutLog bool `json:"without_log,omitempty"`
}

// Document is what is stored of a, after it was checked. Errors are *core.Error with CodeInvalid.
func (a *Authority) Document() (string, error) {
	if err := a.check(); err != nil {
		return "", err
	}
	b, err := json.Marshal(a)
	return string(b), err
}

func (a *Authority) check() error {
	if (a.PublicKey == "") == (a.Identity == nil) {
		return core.Invalid("", "an authority is either a public_key or an identity")
	}
	if a.NotBefore != nil && a.NotAfter != nil && !a.NotBefore.Before(*a.NotAfter) {
		return core.Invalid("/not_after", "not_after lies before not_before")
	}
	if a.Identity != nil {
		if a.NotBefore != nil || a.NotAfter != nil {
			return core.Invalid("/not_after", "an identity has no validity of its own: its certificates have")
		}
		i := a.identity("", "")
		return i.Validate()
	}
	_, err := trust.ParseKey([]byte(a.PublicKey))
	return err
}

// ParseAuthority reads a stored authority.
func ParseAuthority(document string) (*Authority, error) {
	var a Authority
	d := json.NewDecoder(bytes.NewReader([]byte(document)))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return nil, err
	}
	return &a, a.check()
}

func (a *Authority) key(name string, scope gate.Scope) (gate.Key, error) {
	fingerprint, err := trust.Fingerprint([]byte(a.PublicKey))
	return gate.Key{Name: name, Fingerprint: fingerprint, Scope: scope, NotBefore: at(a.NotBefore), NotAfter: at(a.NotAfter), RevokedAt: at(a.RevokedAt)}, err
}

func (a *Authority) identity(name string, scope gate.Scope) gate.Identity {
	i := a.Identity
	return gate.Identity{Name: name, Scope: scope, TrustRoot: i.TrustRoot, Issuer: i.Issuer, Subject: i.Subject, SubjectRegex: i.SubjectRegex,
		Extensions: i.Extensions, SCT: !i.WithoutSCT, Log: !i.WithoutLog, RevokedAt: at(a.RevokedAt)}
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
