package main

import (
	"bytes"
	"strings"
	"testing"
)

// What the hub prints when it has started is the first demo, and fits a small terminal.
func TestWelcome(t *testing.T) {
	h := startHub(t)
	var out bytes.Buffer
	(&program{stdout: &out}).welcome(h.cfg, h, "127.0.0.1:41234")
	text := out.String()
	if n := strings.Count(text, "\n"); n > 12 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	at := 0
	for _, want := range []string{"Hallmark is ready at http://127.0.0.1:41234\n", "HALLMARK_ADMIN_PASSWORD", "docker login 127.0.0.1:41234 -u admin\n",
		"docker push 127.0.0.1:41234/library/debian\n", "docker logout 127.0.0.1:41234 && docker pull", " login http://127.0.0.1:41234 -u admin\n",
		" keys generate --register me --project library\n", " sign --key cosign.key 127.0.0.1:41234/library/debian\n", "docker pull 127.0.0.1:41234/library/debian\n", " get vulnerabilities 127.0.0.1:41234/library/debian", "/api/docs"} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%q is not there, or not in its place:\n%s", want, text)
		}
		at += i
	}
}
