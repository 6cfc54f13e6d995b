package api

import (
	"encoding/xml"
	"regexp"
	"strings"
	"testing"
)

// pageOf fetches a page and returns it with the nonce of its policy.
func pageOf(t *testing.T, h *hub, path string, options ...string) (page, nonce string) {
	t.Helper()
	r := h.call(anonymous, "GET", path, "", options...).want(200)
	if r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %v", path, r.Header)
	}
	policy := r.Header.Get("Content-Security-Policy")
	m := regexp.MustCompile(`^default-src 'none'; script-src 'self'; style-src 'self' 'nonce-([A-Za-z0-9_-]{22})'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'$`).FindStringSubmatch(policy)
	if m == nil {
		t.Fatalf("%s: policy %s", path, policy)
	}
	return string(r.Body), m[1]
}

// W-01: pages have one style element with the nonce of this answer, no script, and nothing from outside.
func TestW01Pages(t *testing.T) {
	h := sqliteHub(t)
	for _, path := range []string{"/", "/api/docs"} {
		page, nonce := pageOf(t, h, path)
		_, second := pageOf(t, h, path)
		if nonce == second {
			t.Errorf("%s: the nonce is the same twice", path)
		}
		if strings.Count(page, "<style") != 1 || !strings.Contains(page, `<style nonce="`+nonce+`">`) {
			t.Errorf("%s: style", path)
		}
		for _, bad := range []string{"<script", " style=", " onclick", " onload", "<img", "<link", "@import", "url(", "NONCE-OF", "HUB-OF", "javascript:", "<iframe", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") || strings.HasPrefix(m[1], "//") {
				t.Errorf("%s leads to %s", path, m[1])
			}
		}
		if err := wellFormedHTML(page); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func wellFormedHTML(page string) error {
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Entity = xml.HTMLEntity
	for {
		if _, err := dec.Token(); err != nil {
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
}

// Every operation and every schema is documented, with who may and an example that the specification allows.
func TestDocs(t *testing.T) {
	h := sqliteHub(t)
	page, _ := pageOf(t, h, "/api/docs")
	for _, op := range h.api.spec.Operations {
		if !strings.Contains(page, `<article id="`+op.ID+`">`) || op.Summary == "" {
			t.Errorf("%s is not documented", op.ID)
		}
		if whoMay(h.api.rules[op.ID]) == "" {
			t.Errorf("nobody knows who may %s", op.ID)
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	examples := regexp.MustCompile(`-d &#39;(\{.*?\})&#39; http://hub.test/api/v1(/\S*)</pre>`).FindAllStringSubmatch(page, -1)
	if len(examples) < 10 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, op := range h.api.spec.Operations {
		if op.Tag == "" || op.Body == nil || !op.BodyRequired {
			continue
		}
		body := regexp.MustCompile(`(?s)<article id="` + op.ID + `">.*?-d &#39;(.*?)&#39; http`).FindStringSubmatch(page)
		if body == nil {
			t.Errorf("%s has no example", op.ID)
			continue
		}
		if err := op.Body.CheckBody([]byte(strings.ReplaceAll(body[1], "&#34;", `"`))); err != nil {
			t.Errorf("the example of %s: %v: %s", op.ID, err, body[1])
		}
	}
	if got := h.call(anonymous, "GET", "/api/v1/openapi.yaml", "").want(200); !strings.HasPrefix(string(got.Body), "openapi: 3.0.3") || got.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%v", got.Header)
	}
	h.call(anonymous, "GET", "/api", "").want(302)
	h.call(anonymous, "GET", "/apix", "").want(404)
}

func TestHome(t *testing.T) {
	h := sqliteHub(t)
	page, _ := pageOf(t, h, "/")
	for _, want := range []string{`<html lang="en">`, "docker login hub.test", "docker push hub.test/library/alpine:latest", "hallmark create project team", "hallmark sign --key cosign.key hub.test/library/alpine:latest", "docker pull hub.test/", `href="/api/docs"`, "insecure-registries", "prefers-color-scheme: dark"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not on the page", want)
		}
	}
	for header, lang := range map[string]string{"": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh-CN", "zh-TW": "zh-CN", "en,zh;q=0.9": "en", "de, zh;q=0.5": "zh-CN", "fr": "en",
		"zh;q=0, en": "en", "en;q=0.3,zh;q=0.4": "zh-CN", ";;;q=x,,": "en"} {
		if page, _ := pageOf(t, h, "/", "Accept-Language", header); !strings.Contains(page, `<html lang="`+lang+`">`) {
			t.Errorf("%q: not in %s", header, lang)
		}
	}
	// W-11: what pretends to be a proxy changes nothing, and no host gets into the page that is none.
	if page, _ := pageOf(t, h, "/", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"); strings.Contains(page, "evil") {
		t.Error("the page believes X-Forwarded-Host")
	}
}
