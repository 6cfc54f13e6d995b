package api

import (
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// verdictAt is the page at a path without what differs each time.
func (h *hub) verdictAt(who cred, status int, path string, options ...string) string {
	h.t.Helper()
	r := h.call(who, "GET", path, "", options...).want(status)
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Vary": "Accept-Language", "Referrer-Policy": "no-referrer"} {
		if got := r.Header.Get(name); got != want {
			h.t.Errorf("%s: %s is %q, want %q", path, name, got, want)
		}
	}
	page := string(r.Body)
	if err := wellFormedHTML(page); err != nil {
		h.t.Errorf("%s: %v", path, err)
	}
	for _, bad := range []string{"<script", " style=", "NONCE-OF", "ZgotmplZ", "http-equiv"} {
		if strings.Contains(page, bad) {
			h.t.Errorf("%s has %q", path, bad)
		}
	}
	nonce := regexp.MustCompile(`nonce="[^"]*"`).FindString(page)
	if nonce == "" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "'nonce-"+nonce[7:len(nonce)-1]+"'") {
		h.t.Errorf("%s: %q and %v", path, nonce, r.Header)
	}
	return strings.ReplaceAll(page, nonce, "")
}

func (h *hub) mustHave(page string, all ...string) {
	h.t.Helper()
	for _, want := range all {
		if !strings.Contains(page, want) {
			h.t.Errorf("%q is not on the page\n%s", want, page)
		}
	}
}

func TestVerdictPage(t *testing.T) {
	h := sqliteHub(t)
	alice, bob := h.user("alice", false), h.user("bob", false)
	h.project("pub", core.Public, nil)
	h.project("priv", core.Private, map[string]core.Role{"alice": core.RoleGuest})
	d := h.image("pub/deep/app", "one", "1")
	if again := h.image("priv/app", "one"); again != d {
		t.Fatal("not the same image")
	}
	at := "/t/pub/deep/app@" + string(d)
	english := h.verdictAt(anonymous, 200, at)
	h.mustHave(english, `<html lang="en">`, ">Refused</h1>", "pub/deep/app@"+string(d), "baseline", "What is missing", "hallmark keys add",
		`<a href="?lang=zh-CN"`)
	chinese := h.verdictAt(anonymous, 200, at, "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")
	h.mustHave(chinese, `<html lang="zh-CN">`, ">拒绝拉取</h1>", "项目 pub 尚未登记任何可信的密钥或身份", "hallmark keys add", `<a href="?lang=en"`)
	if h.verdictAt(anonymous, 200, at+"?lang=zh-CN") != chinese || h.verdictAt(anonymous, 200, at+"?lang=en", "Accept-Language", "zh") != english {
		t.Error("the link to the other language does not lead there")
	}
	if escaped := strings.NewReplacer("@", "%40", ":", "%3A", "deep/", "deep%2F").Replace(at); h.verdictAt(anonymous, 200, escaped) != english {
		t.Error("an escaped path is another one")
	}
	none := h.verdictAt(anonymous, 404, "/t/nowhere/app@"+string(d))
	h.mustHave(none, "There is nothing here that you may see", "hallmark login http://hub.test -u USER")
	other := digest.FromString("another")
	for _, who := range []cred{anonymous, bob} {
		for _, path := range []string{"/t/priv/app@" + string(d), "/t/priv/app@" + string(other), "/t/pub/deep/app@" + string(other), "/t/pub/none@" + string(d),
			"/t/" + string(other), "/t/", "/t/pub", "/t/pub/deep/app@sha256:12", "/t/Pub/App@" + string(d), "/t/a@b@" + string(d), "/t/%ff%00", "/t/../x@" + string(d)} {
			if page := h.verdictAt(who, 404, path); page != none {
				t.Errorf("%s tells more than that there is nothing:\n%s", path, page)
			}
		}
	}
	h.mustHave(h.verdictAt(alice, 200, "/t/priv/app@"+string(d)), "priv/app@"+string(d))
	h.mustHave(h.verdictAt(anonymous, 404, "/t/priv/app@"+string(d), "Accept-Language", "zh"), "这里没有您可以查看的内容")
	h.call(bearer("hmp_wrong"), "GET", at, "").want(401)
	// A session that is over is no reason not to see what everybody sees.
	if h.verdictAt(anonymous, 200, at, "Cookie", "__Host-hallmark=hms_gone; hallmark=hms_gone") != english {
		t.Error("with a dead cookie the page is another one")
	}
}

// Who has nothing but the digest finds the verdicts they may see, and those alone.
func TestVerdictPageByDigest(t *testing.T) {
	h := sqliteHub(t)
	alice, root := h.user("alice", false), h.user("root", true)
	h.project("pub", core.Public, nil)
	h.project("priv", core.Private, map[string]core.Role{"alice": core.RoleGuest})
	h.project("secret", core.Private, nil)
	var d digest.Digest
	for _, repository := range []string{"pub/app", "priv/app", "secret/app"} {
		d = h.image(repository, "one")
	}
	scoped := bearer(h.token(h.accountID("alice"), "narrow", []core.Grant{{Repository: "pub/**", Actions: []core.Action{core.ActionPull}}}))
	only := h.verdictAt(anonymous, 200, "/t/"+string(d))
	h.mustHave(only, "pub/app@"+string(d), ">Refused</h1>")
	if h.verdictAt(scoped, 200, "/t/"+string(d)) != only {
		t.Error("a bound token sees more than it may")
	}
	both := h.verdictAt(alice, 200, "/t/"+string(d))
	h.mustHave(both, `<a href="/t/pub/app@`+string(d)+`">`, `<a href="/t/priv/app@`+string(d)+`">`)
	if strings.Contains(both, "secret") || strings.Contains(only, "priv") {
		t.Error("a repository is told of to who may not pull from it")
	}
	h.mustHave(h.verdictAt(root, 200, "/t/"+string(d)), "secret/app")
	for i := range maxVerdicts {
		h.image("pub/copy"+string(rune('a'+i)), "one")
	}
	many := h.verdictAt(anonymous, 200, "/t/"+string(d), "Accept-Language", "zh")
	if n := strings.Count(many, `<a href="/t/`); n != maxVerdicts || !strings.Contains(many, "还有更多仓库未列出") {
		t.Errorf("%d verdicts", n)
	}
}

// The repository beside the digest leads to the page, whether there is one or not.
func TestVerdictPageByQuery(t *testing.T) {
	h := sqliteHub(t)
	h.project("pub", core.Public, nil)
	d := string(h.image("pub/app", "one"))
	for query, want := range map[string]string{
		"?repository=pub/app": "/t/pub/app@" + d, "?repository=pub%2Fapp&lang=zh-CN": "/t/pub/app@" + d + "?lang=zh-CN",
		"?repository=no/where": "/t/no/where@" + d, "?repository=pub/app&lang=%0d%0aX:%20y": "/t/pub/app@" + d + "?lang=%0D%0AX%3A+y",
	} {
		if r := h.call(anonymous, "GET", "/t/"+d+query, "").want(302); r.Header.Get("Location") != want || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s leads to %q", query, r.Header.Get("Location"))
		}
	}
	h.mustHave(h.verdictAt(anonymous, 200, "/t/pub/app@"+d), "pub/app@"+d)
	// What is no name of a repository is not asked about: these are pages by the digest alone, or by the path.
	for _, query := range []string{"?repository=", "?repository=//evil.example", "?repository=Pub/App", "?repository=https://evil.example"} {
		h.mustHave(h.verdictAt(anonymous, 200, "/t/"+d+query), "pub/app@"+d)
	}
	h.verdictAt(anonymous, 200, "/t/pub/app@"+d+"?repository=no/where")
}

// The page says what was found, and turns when what is missing came.
func TestVerdictPageAfterSigning(t *testing.T) {
	h := sqliteHub(t)
	team := h.project("team", core.Public, nil)
	d := h.image("team/app", "one")
	private, public, err := trust.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := trust.ParsePrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	register := gatekeeper.Authority{PublicKey: string(public)}
	document, err := register.Document()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.store.PutTrustDocument(h.ctx, team, store.TrustAuthority, "release", document, 0); err != nil {
		t.Fatal(err)
	}
	at := "/t/team/app@" + string(d)
	image := "hub.test/team/app@" + string(d)
	h.mustHave(h.verdictAt(anonymous, 200, at), "<pre class=\"take\">hallmark sign --key cosign.key "+image+"</pre>", "<pre class=\"take\">cosign sign --key cosign.key "+image+"</pre>")
	bundle, err := signer.Sign(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: trust.TypeBundle, Config: h.blob("team/app", ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Layers: []ocispec.Descriptor{h.blob("team/app", trust.TypeBundle, bundle)}, Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1}}
	m.SchemaVersion = 2
	if err := h.keeper.ReadEvidence(h.ctx, "team/app", h.manifest("team/app", m.MediaType, m)); err != nil {
		t.Fatal(err)
	}
	h.mustHave(h.verdictAt(anonymous, 200, at), ">May be pulled</h1>", "signature", "release", ">yes</strong></td>")
	h.mustHave(h.verdictAt(anonymous, 200, at, "Accept-Language", "zh"), ">允许拉取</h1>", ">有效</strong></td>", "密钥 release")
}
