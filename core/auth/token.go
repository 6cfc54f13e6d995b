package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/maypok86/otter/v2"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// TokenLife is how long a registry token lives if Options do not say otherwise. Rights are asked for on each request besides.
	TokenLife = 5 * time.Minute
	// tokenLeeway allows for clocks of clients and of other processes.
	tokenLeeway = time.Minute
	// maxToken is the longest token in bytes. A longer one is neither made nor looked at.
	maxToken = 8 << 10
	// tokenType is the typ of a token's header (RFC 9068). Nothing else that this hub signs has it.
	tokenType = "at+jwt"
	// tokenIssuer is the iss of every token.
	tokenIssuer = "hallmark"
	// verifiedTokens is how many verified tokens are remembered, of 1 to 2 KiB each.
	verifiedTokens = 16_384
)

// accessEntry is an entry of the access claim, as the docker token specification has it.
type accessEntry struct {
	Type    string   `json:"type"`
	Class   string   `json:"class,omitzero"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// claims are those of a registry token: JWT (RFC 7519) with the access claim of the docker token specification.
type claims struct {
	Issuer     string        `json:"iss"`
	Subject    string        `json:"sub"` // kind and id: core.Principal.Actor
	Audience   string        `json:"aud"`
	IssuedAt   int64         `json:"iat"` // seconds since 1970
	NotBefore  int64         `json:"nbf"`
	Expires    int64         `json:"exp"`
	ID         string        `json:"jti"`
	Credential string        `json:"cred,omitzero"` // what the token was got with
	Generation string        `json:"gen,omitzero"`  // of the password or secret that was
	Access     []accessEntry `json:"access"`
	Image      *imageClaim   `json:"image,omitzero"` // of a job, which has no access besides
}

// verifiedToken is a token whose signature and claims were found right. It is remembered by the SHA-256 of the token,
// so that memory holds none.
type verifiedToken struct {
	claims
	kind   core.PrincipalKind
	id     string
	grants []core.Grant // the access claim, never nil
	// bound is the principal, as long as what it rests on has not changed (see tokenPrincipal).
	bound atomic.Pointer[binding]
}

// tokens makes and verifies registry tokens. Its methods may be called concurrently.
type tokens struct {
	keys     *keyRing
	audience string
	life     time.Duration
	now      func() time.Time
	verified *otter.Cache[[sha256.Size]byte, *verifiedToken]
}

func newTokens(ctx context.Context, s *store.Store, k *seal.Keyring, audience string, life time.Duration) (*tokens, error) {
	cache, err := otter.New(&otter.Options[[sha256.Size]byte, *verifiedToken]{MaximumSize: verifiedTokens})
	if err != nil {
		return nil, err
	}
	// What was signed by a key that is no more must not be remembered as right.
	keys, err := newKeyRing(ctx, s, k, life, cache.InvalidateAll)
	return &tokens{keys: keys, audience: audience, life: life, now: s.Now, verified: cache}, err
}

// issue signs a token for p with these rights.
func (t *tokens) issue(ctx context.Context, p proven, entries []accessEntry) (token string, at time.Time, err error) {
	set, err := t.keys.current(ctx)
	if err != nil {
		return "", at, err
	}
	at = t.now()
	key := set.signer(at)
	c := claims{
		Issuer: tokenIssuer, Subject: p.Actor(), Audience: t.audience, ID: rand.Text(), Credential: p.Credential, Generation: p.generation,
		IssuedAt: at.Unix(), NotBefore: at.Unix(), Access: entries, Image: imageOf(p.Principal),
	}
	c.Expires = at.Add(t.lifeOf(&c)).Unix()
	payload, err := json.Marshal(&c)
	if err != nil {
		return "", at, err
	}
	token = sign(key, payload)
	if len(token) > maxToken {
		return "", at, core.Errorf(core.CodeInvalid, "the token for so many scopes would be longer than %d bytes: ask for fewer at once", maxToken)
	}
	return token, at, nil
}

// sign makes a compact JWS (RFC 7515, 7.1) with EdDSA (RFC 8037).
func sign(key *tokenKey, payload []byte) string {
	b := make([]byte, 0, len(key.header)+2+base64.RawURLEncoding.EncodedLen(len(payload))+base64.RawURLEncoding.EncodedLen(ed25519.SignatureSize))
	b = append(b, key.header...)
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, payload)
	signature := ed25519.Sign(key.private, b)
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, signature))
}

// verify returns a token that is valid now. Everything that is not is the same core.CodeUnauthenticated: what exactly
// is wrong helps only those who try.
func (t *tokens) verify(ctx context.Context, token string) (*verifiedToken, error) {
	if len(token) > maxToken {
		return nil, errToken()
	}
	sum := tokenSum(token)
	if v, ok := t.verified.GetIfPresent(sum); ok {
		if !t.alive(v) {
			return nil, errToken()
		}
		return v, nil
	}
	changes := t.keys.changes.Load()
	v, err := t.open(ctx, token)
	if err != nil {
		return nil, err
	}
	t.verified.Set(sum, v)
	if t.keys.changes.Load() != changes { // the keys changed meanwhile, perhaps before Set and after they were dropped
		t.verified.Invalidate(sum)
	}
	return v, nil
}

// tokenSum is the SHA-256 of a token. Most fit into the array, which saves the copy on the heap.
func tokenSum(token string) [sha256.Size]byte {
	var b [1024]byte
	if len(token) > len(b) {
		return sha256.Sum256([]byte(token))
	}
	return sha256.Sum256(b[:copy(b[:], token)])
}

// open checks signature and claims. Nothing of the token is parsed before its signature was found right.
func (t *tokens) open(ctx context.Context, token string) (*verifiedToken, error) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || len(signature) != base64.RawURLEncoding.EncodedLen(ed25519.SignatureSize) {
		return nil, errToken()
	}
	key, err := t.keys.find(ctx, header)
	if err != nil {
		return nil, err
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if key == nil || err != nil || !key.verifies(t.now(), t.life) ||
		!ed25519.Verify(key.public, []byte(token[:len(header)+1+len(payload)]), sig) {
		return nil, errToken()
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, errToken()
	}
	v := &verifiedToken{}
	// This decoder refuses duplicate names, names in another case, and invalid UTF-8.
	if err := json.Unmarshal(text, &v.claims); err != nil || v.Issuer != tokenIssuer || v.Audience != t.audience || !t.alive(v) {
		return nil, errToken()
	}
	scopes, ok := scopesOf(v.Access)
	if !ok {
		return nil, errToken()
	}
	v.grants = access.Grants(scopes)
	kind, id, _ := strings.Cut(v.Subject, ":")
	v.kind, v.id = core.PrincipalKind(kind), id
	if (v.kind == core.KindJob) != (v.Image != nil) {
		return nil, errToken()
	}
	if v.kind == core.KindAnonymous {
		p := core.Anonymous()
		p.Grants, p.RegistryToken = v.grants, true
		v.bound.Store(&binding{principal: p})
	}
	return v, nil
}

func (t *tokens) alive(v *verifiedToken) bool {
	now, leeway := t.now().Unix(), int64(tokenLeeway/time.Second)
	return now < v.Expires+leeway && now >= v.NotBefore-leeway && v.Expires-v.NotBefore <= int64(t.lifeOf(&v.claims)/time.Second)
}

// lifeOf is how long a token lives at most.
func (t *tokens) lifeOf(c *claims) time.Duration {
	if c.Image != nil {
		return OneImageLife
	}
	return t.life
}

func errToken() *core.Error {
	return core.Errorf(core.CodeUnauthenticated, "the token is not valid or has expired: log in again")
}
