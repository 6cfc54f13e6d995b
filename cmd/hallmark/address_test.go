package main

import "testing"

// A refusal leads to an address that the reader can open, or to none.
func TestVerdictLink(t *testing.T) {
	for _, c := range []struct {
		environ       []string
		address, host string
		link          string
	}{
		{nil, "", "127.0.0.1:8080", "http://127.0.0.1:8080/t/p/app@sha256:00"},
		{nil, "127.0.0.1:41234", "127.0.0.1:41234", "http://127.0.0.1:41234/t/p/app@sha256:00"},
		{[]string{"HALLMARK_LISTEN=hub.example:80"}, "", "hub.example:80", "http://hub.example:80/t/p/app@sha256:00"},
		{[]string{"HALLMARK_TLS_CERT=c", "HALLMARK_TLS_KEY=k"}, "", "127.0.0.1:8080", "https://127.0.0.1:8080/t/p/app@sha256:00"},
		{[]string{"HALLMARK_PUBLIC_URL=https://hub.example"}, "0.0.0.0:8080", "hub.example", "https://hub.example/t/p/app@sha256:00"},
		{nil, "0.0.0.0:8080", "0.0.0.0:8080", ""},
		{nil, "[::]:8080", "[::]:8080", ""},
	} {
		cfg, err := loadConfig("", append(c.environ, "HALLMARK_DATA="+t.TempDir()), nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &opened{cfg: cfg, address: c.address}
		if got := o.host(); got != c.host {
			t.Errorf("%v %s: host %q, want %q", c.environ, c.address, got, c.host)
		}
		link := ""
		if f := o.verdictLink(); f != nil {
			link = f("p/app", "sha256:00")
		}
		if link != c.link {
			t.Errorf("%v %s: link %q, want %q", c.environ, c.address, link, c.link)
		}
	}
}
