package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/seal"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// currentKey is the key that signs.
func (h *hub) currentKey() *tokenKey {
	h.t.Helper()
	set, err := h.tokens.keys.current(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return set.signer(h.store.Now())
}

// goodClaims are those of a valid token, to be changed.
func (h *hub) goodClaims(change func(map[string]any)) string {
	h.t.Helper()
	now := h.store.Now().Unix()
	m := map[string]any{"iss": "hallmark", "aud": "hallmark", "sub": "anonymous", "jti": "x", "iat": now, "nbf": now, "exp": now + 300, "access": []any{}}
	if change != nil {
		change(m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

func TestV20TokenForgeries(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice")
	key := h.currentKey()
	header, err := base64.RawURLEncoding.DecodeString(key.header)
	if err != nil {
		t.Fatal(err)
	}
	var kid struct{ Kid string }
	if err := json.Unmarshal(header, &kid); err != nil {
		t.Fatal(err)
	}
	evilPublic, evilKey, _ := ed25519.GenerateKey(nil)
	signed := func(header, payload string, key ed25519.PrivateKey) string {
		text := b64(header) + "." + b64(payload)
		return text + "." + b64(string(ed25519.Sign(key, []byte(text))))
	}
	hs256 := func(header string) string {
		text := b64(header) + "." + b64(h.goodClaims(nil))
		m := hmac.New(sha256.New, key.public)
		m.Write([]byte(text))
		return text + "." + b64(string(m.Sum(nil)))
	}
	claims := func(change func(map[string]any)) string {
		return signed(string(header), h.goodClaims(change), key.private)
	}
	set := func(name string, v any) string { return claims(func(m map[string]any) { m[name] = v }) }
	now := h.store.Now().Unix()
	jwk := `"jwk":{"kty":"OKP","crv":"Ed25519","x":"` + b64(string(evilPublic)) + `"}`
	good := claims(nil)
	if _, err := h.Registry(bearer(good)); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	forgeries := map[string]string{
		"alg none":                 b64(`{"alg":"none","typ":"at+jwt"}`) + "." + b64(h.goodClaims(nil)) + ".",
		"alg none, kid":            b64(`{"alg":"none","kid":"`+kid.Kid+`","typ":"at+jwt"}`) + "." + b64(h.goodClaims(nil)) + ".",
		"alg None, signed":         signed(`{"alg":"None","kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), key.private),
		"HS256 with public key":    hs256(`{"alg":"HS256","kid":"` + kid.Kid + `","typ":"at+jwt"}`),
		"HS256, header of ours":    hs256(string(header)),
		"other key":                signed(string(header), h.goodClaims(nil), evilKey),
		"jwk":                      signed(`{"alg":"EdDSA",`+jwk+`,"kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"jwk, no kid":              signed(`{"alg":"EdDSA",`+jwk+`,"typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"jku":                      signed(`{"alg":"EdDSA","jku":"http://evil.example/","kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"x5u":                      signed(`{"alg":"EdDSA","x5u":"http://evil.example/","kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"x5c":                      signed(`{"alg":"EdDSA","x5c":["AAAA"],"kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"crit, signed by us":       signed(`{"alg":"EdDSA","crit":["b64"],"kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), key.private),
		"typ JWT, signed by us":    signed(`{"alg":"EdDSA","kid":"`+kid.Kid+`","typ":"JWT"}`, h.goodClaims(nil), key.private),
		"no typ, signed by us":     signed(`{"alg":"EdDSA","kid":"`+kid.Kid+`"}`, h.goodClaims(nil), key.private),
		"kid path":                 signed(`{"alg":"EdDSA","kid":"../../etc/passwd","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"kid SQL":                  signed(`{"alg":"EdDSA","kid":"' OR 1=1 --","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"kid empty":                signed(`{"alg":"EdDSA","kid":"","typ":"at+jwt"}`, h.goodClaims(nil), evilKey),
		"duplicate alg":            signed(`{"alg":"EdDSA","alg":"none","kid":"`+kid.Kid+`","typ":"at+jwt"}`, h.goodClaims(nil), key.private),
		"wrong iss":                set("iss", "other"),
		"no iss":                   claims(func(m map[string]any) { delete(m, "iss") }),
		"wrong aud":                set("aud", "other"),
		"aud list":                 set("aud", []string{"hallmark", "other"}),
		"no aud":                   claims(func(m map[string]any) { delete(m, "aud") }),
		"expired":                  claims(func(m map[string]any) { m["nbf"], m["exp"] = now-400, now-100 }),
		"exp in a year":            set("exp", now+365*24*3600),
		"no exp":                   claims(func(m map[string]any) { delete(m, "exp") }),
		"exp text":                 set("exp", "never"),
		"exp fraction":             set("exp", 1e300),
		"nbf ahead":                claims(func(m map[string]any) { m["nbf"], m["exp"] = now+100, now+400 }),
		"no sub":                   claims(func(m map[string]any) { delete(m, "sub") }),
		"sub operator":             set("sub", "operator"),
		"sub system":               set("sub", "system"),
		"sub nobody":               set("sub", "user:nobody"),
		"sub robot nobody":         set("sub", "robot:nobody"),
		"sub unknown kind":         set("sub", "root:1"),
		"name is a pattern":        set("access", []map[string]any{{"type": "repository", "name": "**", "actions": []string{"pull"}}}),
		"access no list":           set("access", map[string]any{"type": "repository"}),
		"duplicate claim":          signed(string(header), strings.Replace(h.goodClaims(nil), `"sub":`, `"sub":"user:1","sub":`, 1), key.private),
		"claims followed by more":  signed(string(header), h.goodClaims(nil)+"{}", key.private),
		"claims no object":         signed(string(header), `"hallmark"`, key.private),
		"claims not UTF-8":         signed(string(header), "{\"iss\":\"\xff\"}", key.private),
		"empty":                    "x",
		"two parts":                strings.Join(strings.Split(good, ".")[:2], "."),
		"four parts":               good + ".x",
		"no signature":             good[:strings.LastIndexByte(good, '.')+1],
		"signature cut off":        good[:len(good)-1],
		"signature padded":         good + "==",
		"signature's unused bits":  good[:len(good)-1] + string(good[len(good)-1]+1),
		"header of another token":  b64(`{"alg":"EdDSA","typ":"at+jwt"}`) + good[strings.IndexByte(good, '.'):],
		"spaces":                   " " + good,
		"a personal token":         seal.NewToken(seal.PersonalPrefix),
		"a robot's secret":         seal.NewToken(seal.RobotPrefix),
		"1e5 dots":                 strings.Repeat(".", 100_000),
		"1 MiB header":             signed(`{"alg":"EdDSA","kid":"`+strings.Repeat("x", 1<<20)+`"}`, h.goodClaims(nil), evilKey),
		"8 KiB and one":            claims(func(m map[string]any) { m["pad"] = strings.Repeat("x", maxToken) }),
		"payload of good, no dots": strings.ReplaceAll(good, ".", ""),
	}
	for i := range good {
		if good[i] != '.' && i%7 == 0 {
			changed := []byte(good)
			if changed[i]++; changed[i] == '.' || changed[i] == good[i] {
				changed[i]++
			}
			forgeries["byte "+string(rune('0'+i%10))+" changed at "+good[:i]] = string(changed)
		}
	}
	for name, token := range forgeries {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := h.Registry(bearer(token))
		runtime.ReadMemStats(&after)
		if p != nil || core.CodeOf(err) != core.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+uint64(len(token))*3 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
	if bytes.Contains(h.log.Bytes(), []byte("eyJ")) {
		t.Error("a token is in the log")
	}
	// Claims of a newer version are no harm.
	if _, err := h.Registry(bearer(set("new", 1))); err != nil {
		t.Errorf("an unknown claim: %v", err)
	}
}

// A token is refused when it has expired, also by who remembers it, and not before leeway has passed.
func TestTokenExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.SQLite(t)(t)
		h := startHub(t, d)
		token := h.token("", "")
		for _, c := range []struct {
			wait time.Duration
			ok   bool
		}{{0, true}, {TokenLife, true}, {tokenLeeway - time.Second, true}, {time.Second, false}} {
			synctest.Wait()
			<-time.After(c.wait)
			_, err := h.Registry(bearer(token))
			if (err == nil) != c.ok {
				t.Errorf("after %v more: %v", c.wait, err)
			}
		}
	})
}

// A shorter life holds for the token, for what is said of it, and for tokens from before: those are over at once.
func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.SQLite(t)(t)
		before := startHub(t, d).token("", "")
		h := startHubWith(t, d, Options{Hash: cheapHash(), TokenLife: time.Minute})
		if _, err := h.Registry(bearer(before)); err == nil {
			t.Error("a token that lives longer than tokens may is believed")
		}
		token := h.token("", "")
		for _, c := range []struct {
			wait time.Duration
			ok   bool
		}{{time.Minute + tokenLeeway - time.Second, true}, {time.Second, false}} {
			<-time.After(c.wait)
			if _, err := h.Registry(bearer(token)); (err == nil) != c.ok {
				t.Errorf("after %v more: %v", c.wait, err)
			}
		}
	})
}

func TestKeyRotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		old := h.currentKey()
		token := h.token("", "")
		if err := h.RotateKeys(h.ctx); err != nil {
			t.Fatal(err)
		}
		set, err := h.tokens.keys.current(h.ctx)
		if err != nil || len(set.keys) != 2 || set.byHeader[old.header] == nil {
			t.Fatalf("%v, %v", set, err)
		}
		next := set.keys[1]
		if set.signer(h.store.Now().Add(keyLead)) != next {
			t.Error("the new key does not sign")
		}
		// Where others have to learn of it first, the old one signs on.
		if signs := set.signer(h.store.Now()); (signs == next) == h.db.Shared() {
			t.Error("the wrong key signs")
		}
		for _, tok := range []string{token, h.token("", "")} {
			if _, err := h.Registry(bearer(tok)); err != nil {
				t.Errorf("a token from before or after the rotation: %v", err)
			}
		}
		if !set.keys[0].verifies(h.store.Now(), TokenLife) || set.keys[0].verifies(h.store.Now().Add(keyLead+TokenLife+tokenLeeway), TokenLife) {
			t.Error("the old key verifies too short or too long")
		}
	})
}

// Two processes on Postgres: a token signed with a new key is good in the other process at once.
func TestKeyRotationElsewhere(t *testing.T) {
	open := dbtest.Postgres(t)
	one, two := startHub(t, open(t)), startHub(t, open(t))
	if one.currentKey().header != two.currentKey().header {
		t.Fatal("two processes do not agree on the first key")
	}
	if err := one.RotateKeys(one.ctx); err != nil {
		t.Fatal(err)
	}
	set, err := one.tokens.keys.current(one.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if set.signer(one.store.Now()) == set.keys[1] {
		t.Error("the new key signs before others know of it")
	}
	token := sign(set.keys[1], []byte(one.goodClaims(nil)))
	if _, err := two.Registry(bearer(token)); err != nil {
		t.Errorf("the other process: %v", err)
	}
	// Forgeries with unknown keys do not each ask the database.
	recorder := &db.Recorder{}
	two.db.Record(recorder)
	for range 20 {
		_, err := two.Registry(bearer(b64(`{"alg":"EdDSA","kid":"x","typ":"at+jwt"}`) + token[strings.IndexByte(token, '.'):]))
		wantCode(t, err, core.CodeUnauthenticated)
	}
	two.db.Record(nil)
	asked := 0
	for _, q := range recorder.Take() {
		if strings.Contains(q, "FROM secret") {
			asked++
		}
	}
	if asked > 1 {
		t.Errorf("%d looks for 20 forgeries", asked)
	}
}
