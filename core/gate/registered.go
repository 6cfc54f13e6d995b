package gate

import (
	"errors"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Scope is for whom a key or identity is registered.
type Scope string

// The scopes, from the widest.
const (
	ScopeHub       Scope = "hub"
	ScopePublisher Scope = "publisher"
	ScopeProject   Scope = "project"
)

// Key is a registered public key.
type Key struct {
	Name        string
	Fingerprint string // as Fingerprint makes it
	Scope       Scope
	NotBefore   time.Time // zero: no bound
	NotAfter    time.Time
	// RevokedAt, if set, ends all trust in the key, whoever else registered it and whenever something was signed: a bare
	// signature has no time that could be believed. To let a key run out instead, give it NotAfter.
	RevokedAt time.Time
}

// Identity is a registered signer without a key of its own: whom a certificate authority must have vouched for.
type Identity struct {
	Name         string
	Scope        Scope
	TrustRoot    string
	Issuer       string
	Subject      string // or
	SubjectRegex string // RE2, compared with the whole subject
	Extensions   map[string]string
	SCT          bool // a transparency log must list the certificate
	Log          bool // and one must have the signature
	// RevokedAt, if set, ends all trust in whoever the identity covers.
	RevokedAt time.Time
}

// Validate refuses an identity that anybody could have, or nobody.
func (i *Identity) Validate() error {
	_, err := newIdentity(i.TrustRoot, i.Issuer, i.Subject, i.SubjectRegex, i.Extensions)
	if err == nil && i.TrustRoot == "" {
		err = errors.New("an identity needs the name of the trust root that vouches for it")
	}
	if err != nil {
		return core.Invalid("/subject", "%s", err.Error())
	}
	return nil
}

// Registered is what is registered for one project: by itself, by its publisher and for the whole hub, at one revision.
// It is immutable.
type Registered struct {
	revision   int64
	keys       map[string][]Key // by fingerprint
	refs       map[ref]string   // to fingerprint
	identities []registeredIdentity
	roots      []string
	broken     []string
	live       bool // somebody is not revoked
	keyed      bool // and has a key
}

type ref struct {
	scope Scope
	name  string
}

type registeredIdentity struct {
	identity
	name     string
	sct, log bool
	revoked  bool
}

// NewRegistered makes a snapshot. What cannot be used (an identity whose pattern is refused today) vouches for nothing and
// is listed by Broken.
func NewRegistered(revision int64, keys []Key, identities []Identity, trustRoots []string) *Registered {
	r := &Registered{revision: revision, keys: map[string][]Key{}, refs: map[ref]string{}, roots: slices.Clone(trustRoots)}
	for _, k := range keys {
		if k.Fingerprint == "" {
			r.broken = append(r.broken, "key "+k.Name+" has no fingerprint")
			continue
		}
		r.keys[k.Fingerprint] = append(r.keys[k.Fingerprint], k)
		at := ref{k.Scope, k.Name}
		if fp, taken := r.refs[at]; taken && fp != k.Fingerprint {
			r.broken = append(r.broken, "two keys are called "+k.Name+": a policy can refer to neither")
			k.Fingerprint = ""
		}
		r.refs[at] = k.Fingerprint
	}
	for fp := range r.keys {
		r.keyed = r.keyed || !r.revoked(fp)
	}
	r.live = r.keyed
	for _, i := range identities {
		c, err := newIdentity(i.TrustRoot, i.Issuer, i.Subject, i.SubjectRegex, i.Extensions)
		if err != nil {
			r.broken = append(r.broken, "identity "+i.Name+": "+err.Error())
			continue
		}
		one := registeredIdentity{c, i.Name, i.SCT, i.Log, !i.RevokedAt.IsZero()}
		r.identities = append(r.identities, one)
		r.live = r.live || !one.revoked
	}
	return r
}

// Revision is the trust revision of the snapshot.
func (r *Registered) Revision() int64 { return r.revision }

// Broken says what in the snapshot cannot be used and why.
func (r *Registered) Broken() []string { return slices.Clone(r.broken) }

// revoked reports whether any record of a key revokes it.
func (r *Registered) revoked(fingerprint string) bool {
	for i := range r.keys[fingerprint] {
		if !r.keys[fingerprint][i].RevokedAt.IsZero() {
			return true
		}
	}
	return false
}

// revokedSigner likewise for any signer.
func (r *Registered) revokedSigner(s *core.Signer) bool {
	if s.Key != "" {
		return r.revoked(s.Key)
	}
	for i := range r.identities {
		if r.identities[i].revoked && r.identities[i].covers(s) {
			return true
		}
	}
	return false
}

// named finds the key that a policy refers to. A project's policy means its own key first; one of the hub means keys of
// the hub alone, or a project could put its own in their place.
func (r *Registered) named(name string, system bool) (Key, bool) {
	scopes := []Scope{ScopeProject, ScopePublisher, ScopeHub}
	if system {
		scopes = scopes[2:]
	}
	for _, s := range scopes {
		fp, ok := r.refs[ref{s, name}]
		for i := range r.keys[fp] {
			if k := r.keys[fp][i]; ok && k.Scope == s && k.Name == name {
				return k, true
			}
		}
	}
	return Key{}, false
}
