package auth

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func newProxies(t testing.TB, trusted, public string) *Proxies {
	t.Helper()
	p, err := NewProxies(trusted, public)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// W-11: what a stranger writes into X-Forwarded-* is not believed.
func TestW11Proxies(t *testing.T) {
	trusted := newProxies(t, "10.0.0.0/8, 192.0.2.1 fd00::/8", "")
	for _, c := range []struct {
		name, remote, client, base string
		tls                        bool
		header                     http.Header
	}{
		{"direct", "203.0.113.5:99", "203.0.113.5", "http://hub.example:8080", false, nil},
		{"direct, TLS", "203.0.113.5:99", "203.0.113.5", "https://hub.example:8080", true, nil},
		{"spoofed", "203.0.113.5:99", "203.0.113.5", "http://hub.example:8080", false,
			http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}}},
		{"through a proxy", "10.1.2.3:99", "203.0.113.9", "https://public.example", false,
			http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"}}},
		{"spoofed through a proxy", "10.1.2.3:99", "203.0.113.9", "http://public.example", false,
			http.Header{"X-Forwarded-For": {"127.0.0.1, 203.0.113.9"}, "X-Forwarded-Proto": {"https, http"}, "X-Forwarded-Host": {"evil.example, public.example"}}},
		{"two proxies", "10.1.2.3:99", "203.0.113.9", "http://hub.example:8080", false,
			http.Header{"X-Forwarded-For": {"1.1.1.1, 203.0.113.9", "192.0.2.1"}}},
		{"only proxies", "10.1.2.3:99", "10.9.9.9", "http://hub.example:8080", false, http.Header{"X-Forwarded-For": {"10.9.9.9"}}},
		{"nonsense", "10.1.2.3:99", "10.1.2.3", "http://hub.example:8080", false,
			http.Header{"X-Forwarded-For": {"203.0.113.9, unknown"}, "X-Forwarded-Host": {`evil"host`}, "X-Forwarded-Proto": {"gopher"}}},
		{"empty", "10.1.2.3:99", "10.1.2.3", "http://hub.example:8080", false, http.Header{"X-Forwarded-For": {""}, "X-Forwarded-Host": {""}}},
		{"with ports", "[fd00::1]:99", "2001:db8::7", "http://hub.example:8080", false, http.Header{"X-Forwarded-For": {"[2001:db8::7]:1234"}}},
		{"mapped", "[::ffff:10.1.2.3]:99", "203.0.113.9", "http://hub.example:8080", false, http.Header{"X-Forwarded-For": {"::ffff:203.0.113.9"}}},
		{"a socket", "@", "invalid IP", "http://hub.example:8080", false, http.Header{"X-Forwarded-For": {"203.0.113.9"}}},
	} {
		r := request("GET", "/v2/")
		r.Host, r.RemoteAddr = "hub.example:8080", c.remote
		if c.header != nil {
			r.Header = c.header
		}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		want := c.base
		if c.name == "nonsense" {
			want = "" // better no address than one that breaks out of a header
		}
		if got := trusted.Client(r).String(); got != c.client {
			t.Errorf("%s: client %s, want %s", c.name, got, c.client)
		}
		if got := trusted.Base(r); got != want {
			t.Errorf("%s: base %q, want %q", c.name, got, want)
		}
		if got := newProxies(t, "", "https://fixed.example").Realm(r); got != "https://fixed.example/service/token" {
			t.Errorf("%s: realm %q", c.name, got)
		}
	}
}

func TestProxiesRefuseNonsense(t *testing.T) {
	for _, s := range []string{"proxy.example", "10.0.0.0/33", "10.0.0"} {
		if _, err := NewProxies(s, ""); err == nil || !strings.Contains(err.Error(), "HALLMARK_TRUSTED_PROXIES") {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"hub.example", "ftp://hub.example", "https://", "https://hub.example/path", "https://u:p@hub.example", "https://hub.example/?q", "https://a b"} {
		if _, err := NewProxies("", s); err == nil || !strings.Contains(err.Error(), "HALLMARK_PUBLIC_URL") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "::1": "::/64"} {
		if got := network(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	if network(netip.Addr{}) != "local" {
		t.Error("a socket has no network")
	}
}
