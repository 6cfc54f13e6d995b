package attack

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
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
	var master string
	for _, e := range h.cmd.Env {
		if v, ok := strings.CutPrefix(e, "HALLMARK_MASTER_KEY="); ok {
			master = v
		}
	}
	keyring, err := seal.LoadMasterKey(master, "", false)
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

// TestV21TokenElsewhere: a token is good for what it names and nowhere else.
func TestV21TokenElsewhere(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "scopes", "private")
		a, b := project+"/a", project+"/b"
		im := h.newImage(t, a)
		h.newImage(t, b)
		owner := h.newMember(t, project, "owner")
		pull := bearer(h.token(t, owner, "repository:"+a+":pull"))
		h.do(t, pull, "GET", manifestPath(a, "v1"), nil).want(t, "a", 200)
		challenge := func(p who, method, path, scope string) {
			t.Helper()
			got := h.do(t, p, method, path, nil).want(t, method+" "+path, 401).header.Get("Www-Authenticate")
			want := fmt.Sprintf(`Bearer realm="http://%s/service/token",service="hallmark",scope=%q,error="insufficient_scope"`, h.addr, scope)
			if got != want {
				t.Errorf("%s %s\ngot  %s\nwant %s", method, path, got, want)
			}
		}
		challenge(pull, "GET", manifestPath(b, "v1"), "repository:"+b+":pull")
		challenge(pull, "HEAD", blobPath(b, digestOf(im.layer)), "repository:"+b+":pull")
		challenge(pull, "GET", "/v2/"+b+"/tags/list", "repository:"+b+":pull")
		challenge(pull, "POST", "/v2/"+a+"/blobs/uploads/", "repository:"+a+":pull,push")
		challenge(pull, "PUT", manifestPath(a, "v2"), "repository:"+a+":pull,push")
		challenge(pull, "DELETE", manifestPath(a, "v1"), "repository:"+a+":delete")
		challenge(pull, "GET", "/v2/_catalog", "registry:catalog:*")
		push := bearer(h.token(t, owner, "repository:"+a+":push"))
		challenge(push, "GET", manifestPath(a, "v1"), "repository:"+a+":pull")
		nothing := bearer(h.token(t, owner))
		challenge(nothing, "GET", manifestPath(a, "v1"), "repository:"+a+":pull")
		h.do(t, nothing, "GET", "/v2/", nil).want(t, "a token for nothing", 200)

		// It is good for registries alone, and not for getting the next one.
		for _, path := range []string{"/api/v1/users/me", "/api/v1/projects", "/api/v1/system/info", "/service/token?service=hallmark"} {
			h.do(t, pull, "GET", path, nil).want(t, path, 401)
		}
		h.do(t, anonymous(), "POST", "/service/token", "grant_type=refresh_token&service=hallmark&refresh_token="+pull.secret,
			headers{"Content-Type": "application/x-www-form-urlencoded"}).want(t, "a registry token as refresh token", 401)
		h.do(t, basic(owner.user, pull.secret), "GET", "/v2/", nil).want(t, "a registry token as password", 401)

		// A browser's cookie is not good for registries.
		person := h.passwordUser(t, "person")
		h.member(t, project, person, "owner")
		cookie := h.login(t, person)
		h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie}).want(t, "the cookie on /api", 200)
		h.do(t, anonymous(), "GET", "/v2/", nil, headers{"Cookie": cookie}).want(t, "the cookie on /v2", 401)
		h.do(t, anonymous(), "GET", manifestPath(a, "v1"), nil, headers{"Cookie": cookie}).want(t, "the cookie on /v2", 401)
		got := h.do(t, anonymous(), "GET", "/service/token?service=hallmark&scope=repository:"+a+":pull", nil, headers{"Cookie": cookie}).want(t, "the cookie for a token", 200)
		var v struct{ Token string }
		got.decode(t, &v)
		if c := claimsOf(t, v.Token); c["sub"] == "" || strings.HasPrefix(fmt.Sprint(c["sub"]), "user:") || len(c["access"].([]any)) != 0 {
			t.Errorf("the cookie got a token of %v for %v", c["sub"], c["access"])
		}
	})
}

// login begins a session and returns its cookie.
func (h *hub) login(t testing.TB, p who) string {
	t.Helper()
	a := h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": p.user, "password": p.secret}).want(t, "log in", 201)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	_, secret, ok := strings.Cut(cookie, "=")
	if !ok || len(secret) < 26 {
		t.Fatalf("no cookie in %v", a.header)
	}
	h.secrets.add("a session cookie", secret)
	return cookie
}

// TestV21OddScopes: scopes that are no scopes get nothing.
func TestV21OddScopes(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		owner := h.newMember(t, h.project(t, "odd", "private"), "owner")
		for _, scope := range []string{"repository:*:pull", "repository::pull", "repository:**:pull", "repository:odd/*:*", "repository:../x:pull",
			"repository", "repository:", ":", "::", "repository:a/b:", "repository:a/b:*,*", "registry:catalog:pull", "registry:*:*", "hub:*:*", "user:admin:*",
			"repository(plugin):a/b:pull", "repository:A/B:pull", "repository:a/b:PULL", "repository:a//b:pull", "repository:a/b/:pull", "repository:a/b\x00:pull",
			"repository:a:b:pull", "project:odd:*", "repository:" + strings.Repeat("a", 300) + ":pull"} {
			a := h.do(t, owner, "GET", "/service/token?service=hallmark&scope="+url.QueryEscape(scope), nil)
			if a.status == 400 {
				continue
			}
			var v struct{ Token string }
			a.want(t, scope, 200).decode(t, &v)
			if c := claimsOf(t, v.Token); len(c["access"].([]any)) != 0 {
				t.Errorf("%q was granted %v", scope, c["access"])
			}
		}
	})
}

// TestV21GrantedIsAskedAndAllowed: whatever is asked for, granted is what was asked for and is allowed.
func TestV21GrantedIsAskedAndAllowed(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		private, public, other := h.project(t, "private", "private"), h.project(t, "public", "public"), h.project(t, "other", "private")
		may := map[string]map[string][]string{} // by person and project
		all := []string{"pull", "push", "delete", "sign", "scan"}
		byRole := map[string][]string{"guest": {"pull"}, "developer": {"pull", "push", "sign"}, "maintainer": all, "owner": all}
		people := h.everybody(t, private)
		for _, p := range people {
			rights := map[string][]string{public: {"pull"}}
			switch {
			case byRole[p.name] != nil:
				rights[private] = byRole[p.name]
			case p.name == "robot that pulls":
				rights[private] = []string{"pull"}
			case p.user == "admin":
				rights = map[string][]string{public: all, private: all, other: all, "nowhere": all}
			}
			may[p.name] = rights
		}
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		actions := append([]string{"*", "write", ""}, all...)
		for range 400 {
			p := people[r.IntN(len(people))]
			var scopes []string
			want := map[string][]string{}
			for range 1 + r.IntN(4) {
				project := []string{private, public, other, "nowhere"}[r.IntN(4)]
				name := fmt.Sprintf("%s/r%d", project, r.IntN(3))
				if _, twice := want[name]; twice {
					continue
				}
				var asked []string
				for range r.IntN(4) {
					asked = append(asked, actions[r.IntN(len(actions))])
				}
				scopes = append(scopes, "repository:"+name+":"+strings.Join(asked, ","))
				want[name] = granted(asked, may[p.name][project])
			}
			maps.DeleteFunc(want, func(_ string, actions []string) bool { return len(actions) == 0 })
			got := map[string][]string{}
			access, _ := claimsOf(t, h.token(t, p, scopes...))["access"].([]any)
			for _, e := range access {
				entry := e.(map[string]any)
				for _, action := range entry["actions"].([]any) {
					name := entry["name"].(string)
					got[name] = append(got[name], action.(string))
				}
			}
			for _, actions := range got {
				slices.Sort(actions)
			}
			if text(t, got) != text(t, want) {
				t.Fatalf("%s asked for %q\ngot  %s\nwant %s", p, scopes, text(t, got), text(t, want))
			}
		}
	})
}

// granted is what of the actions asked for is allowed. Push includes sign, and who asks for it and may only sign gets that.
func granted(asked, allowed []string) []string {
	var out []string
	for _, a := range allowed {
		if slices.Contains(asked, a) || slices.Contains(asked, "*") || a == "sign" && slices.Contains(asked, "push") {
			out = append(out, a)
		}
	}
	if slices.Contains(out, "push") {
		out = slices.DeleteFunc(out, func(a string) bool { return a == "sign" })
	}
	slices.Sort(out)
	return out
}
