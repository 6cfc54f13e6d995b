package attack

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

var tokenHubs = newHubs()

// claimsOf reads a token without looking at its signature.
func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token has %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func encode(b string) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// signingKey is the key that the hub signs tokens with, taken from its database with its master key.
func (h *hub) signingKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	keyring, err := seal.LoadMasterKey(h.setting("HALLMARK_MASTER_KEY"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := store.New(h.open(t)).Secrets(t.Context(), keyring, "registry-token")
	if err != nil || len(secrets) == 0 {
		t.Fatal(len(secrets), err)
	}
	return ed25519.NewKeyFromSeed(secrets[len(secrets)-1].Value)
}

// TestV20Forgeries: only what the hub signed, as it signs, is a token. Even its own key makes none that says something else.
func TestV20Forgeries(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		private, public := h.project(t, "forged", "private")+"/app", h.project(t, "open", "public")+"/app"
		h.newImage(t, private)
		h.newImage(t, public)
		good := h.token(t, h.admin(), "repository:"+private+":pull,push", "repository:"+public+":pull")
		h.do(t, bearer(good), "GET", manifestPath(private, "v1"), nil).want(t, "the good token", 200)
		head, body, signature := cut3(good)
		claims := claimsOf(t, good)
		key := h.signingKey(t)
		public64 := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		headText, _ := base64.RawURLEncoding.DecodeString(head)
		var header map[string]any
		if err := json.Unmarshal(headText, &header); err != nil {
			t.Fatal(err)
		}
		kid := header["kid"].(string)
		sign := func(header, payload string) string {
			message := encode(header) + "." + encode(payload)
			return message + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(message)))
		}
		hs256 := func(header, payload, secret string) string {
			message := encode(header) + "." + encode(payload)
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(message))
			return message + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}
		with := func(name string, value any) string { // the claims with another value of one
			c := maps.Clone(claims)
			c[name] = value
			return text(t, c)
		}
		plain, now := text(t, claims), time.Now().Unix()
		if a := h.do(t, bearer(sign(string(headText), plain)), "GET", manifestPath(private, "v1"), nil); a.status != 200 {
			t.Fatalf("this test signs in another way than the hub: %s", a)
		}
		jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + public64 + `"}`
		forgeries := map[string]string{
			"alg none":                        encode(`{"alg":"none","kid":"`+kid+`","typ":"at+jwt"}`) + "." + body + ".",
			"alg none with the signature":     encode(`{"alg":"none","kid":"`+kid+`","typ":"at+jwt"}`) + "." + body + "." + signature,
			"alg NONE":                        encode(`{"alg":"NONE"}`) + "." + body + ".",
			"no alg":                          sign(`{"kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"no signature":                    head + "." + body + ".",
			"no signature and no dot":         head + "." + body,
			"HS256 with the public key":       hs256(`{"alg":"HS256","kid":"`+kid+`","typ":"at+jwt"}`, plain, string(key.Public().(ed25519.PublicKey))),
			"HS256 with the public key, text": hs256(`{"alg":"HS256","kid":"`+kid+`","typ":"at+jwt"}`, plain, public64),
			"HS256 with nothing":              hs256(`{"alg":"HS256","kid":"`+kid+`","typ":"at+jwt"}`, plain, ""),
			"its header, MAC with public key": hs256(string(headText), plain, string(key.Public().(ed25519.PublicKey))),
			"jwk":                             sign(`{"alg":"EdDSA","jwk":`+jwk+`,"kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"jku":                             sign(`{"alg":"EdDSA","jku":"http://`+h.internal+`/keys","kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"x5u":                             sign(`{"alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt","x5u":"http://`+h.internal+`/"}`, plain),
			"x5c":                             sign(`{"alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt","x5c":["MIIB"]}`, plain),
			"crit":                            sign(`{"alg":"EdDSA","crit":["exp"],"kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"crit of nothing known":           sign(`{"alg":"EdDSA","crit":["b64"],"b64":false,"kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"zip":                             sign(`{"alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt","zip":"DEF"}`, plain),
			"kid that climbs":                 sign(`{"alg":"EdDSA","kid":"../../`+kid+`","typ":"at+jwt"}`, plain),
			"kid of a device":                 sign(`{"alg":"EdDSA","kid":"/dev/null","typ":"at+jwt"}`, plain),
			"kid with SQL":                    sign(`{"alg":"EdDSA","kid":"' OR '1'='1","typ":"at+jwt"}`, plain),
			"kid as number":                   sign(`{"alg":"EdDSA","kid":1,"typ":"at+jwt"}`, plain),
			"no kid":                          sign(`{"alg":"EdDSA","typ":"at+jwt"}`, plain),
			"typ JWT":                         sign(`{"alg":"EdDSA","kid":"`+kid+`","typ":"JWT"}`, plain),
			"no typ":                          sign(`{"alg":"EdDSA","kid":"`+kid+`"}`, plain),
			"another order":                   sign(`{"kid":"`+kid+`","alg":"EdDSA","typ":"at+jwt"}`, plain),
			"a space in the header":           sign(`{"alg":"EdDSA", "kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"alg twice":                       sign(`{"alg":"none","alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt"}`, plain),
			"another audience":                sign(string(headText), with("aud", "elsewhere")),
			"several audiences":               sign(string(headText), with("aud", []string{"hallmark", "elsewhere"})),
			"no audience":                     sign(string(headText), with("aud", nil)),
			"another issuer":                  sign(string(headText), with("iss", "elsewhere")),
			"expired":                         sign(string(headText), with("exp", now-3600)),
			"not yet valid":                   sign(string(headText), with("nbf", now+3600)),
			"valid for a year":                sign(string(headText), with("exp", now+365*24*3600)),
			"never expires":                   sign(string(headText), with("exp", nil)),
			"expires as text":                 sign(string(headText), with("exp", "9999999999")),
			"expires beyond numbers":          sign(string(headText), strings.Replace(plain, `"exp":`, `"exp":1e400,"x":`, 1)),
			"a claim twice":                   sign(string(headText), strings.TrimSuffix(plain, "}")+`,"sub":"operator:1"}`),
			"of the operator":                 sign(string(headText), with("sub", "operator:local")),
			"of the system":                   sign(string(headText), with("sub", "system:")),
			"of nobody":                       sign(string(headText), with("sub", "")),
			"of a user that is not there":     sign(string(headText), with("sub", "user:0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10")),
			"of a pattern":                    sign(string(headText), with("access", []any{map[string]any{"type": "repository", "name": "**", "actions": []string{"pull"}}})),
			"no claims":                       sign(string(headText), "{}"),
			"claims that are none":            sign(string(headText), "[]"),
			"claims with something after":     sign(string(headText), plain+"{}"),
			"standard base64":                 head + "." + body + "." + base64.StdEncoding.EncodeToString([]byte(signature)),
			"padding":                         good + "==",
			"a line end in it":                head + "." + body + "." + signature[:20] + "%0a" + signature[20:],
			"another last bit":                good[:len(good)-1] + flip(good[len(good)-1]),
			"a byte of the claims":            head + "." + body[:10] + flip(body[10]) + body[11:] + "." + signature,
			"claims of another":               head + "." + encode(with("sub", "user:1")) + "." + signature,
			"four parts":                      good + "." + signature,
			"five parts":                      good + "." + body + "." + signature,
			"JSON":                            `{"payload":"` + body + `","signatures":[]}`,
			"dots":                            strings.Repeat(".", 20_000),
			"long":                            strings.Repeat("A", 8<<10) + "." + body + "." + signature,
			"a personal token's beginning":    "hmp_",
			"a word":                          "null",
			"nothing":                         " ",
		}
		paths := []string{"/v2/", manifestPath(private, "v1"), manifestPath(public, "v1"), "/api/v1/users/me", "/api/v1/system/info"}
		h.frugal(t, 8*mib, func() {
			for name, token := range forgeries {
				for _, path := range paths {
					a := h.do(t, bearer(token), "GET", path, nil)
					if a.status != 401 || a.header.Get("Www-Authenticate") == "" {
						t.Errorf("%s: GET %s: %s", name, path, a)
					}
				}
			}
			for _, size := range []int{100_000, 1 << 20} {
				for _, token := range []string{strings.Repeat(".", size), "a." + strings.Repeat("A", size) + ".a"} {
					for range 4 {
						a := h.raw(t, "GET", h.rawRequest(bearer(token), "GET", manifestPath(public, "v1")))
						if a.status != 401 && a.status != 431 {
							t.Errorf("a token of %d bytes: %s", size, a)
						}
					}
				}
			}
		})
		// Nobody was kept out by that.
		h.do(t, bearer(good), "GET", manifestPath(private, "v1"), nil).want(t, "the good token", 200)
	})
}

func cut3(token string) (head, body, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// flip is another letter of base64, which differs in the last bit but one that counts anywhere.
func flip(c byte) string {
	if c == 'A' || c == 'w' {
		return "g"
	}
	return "A"
}
