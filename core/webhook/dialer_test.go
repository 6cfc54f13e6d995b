package webhook

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// V-08: what is not public is not reached unless its network is allowed, and what gives out credentials not even then.
func TestReachable(t *testing.T) {
	public := []string{"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "2606:4700:4700::1111", "::ffff:8.8.8.8"}
	private := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.254", "172.16.0.0", "172.31.255.255",
		"192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::1%lo", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "64:ff9b::7f00:1", "64:ff9b::a00:1",
		"64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "ff02::1%lo",
	}
	never := []string{"169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "fe80::1%lo", "fd00:ec2::254", "fd20:ce::254",
		"100.100.100.200", "168.63.129.16", "192.0.0.192"}
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, c := range []struct {
		list               []string
		open, plain, allow bool // to everybody, without TLS, where everything is allowed
	}{{public, true, false, true}, {private, false, false, true}, {never, false, false, false}} {
		for _, text := range c.list {
			ip := netip.MustParseAddr(text)
			if reachable(ip, nil, true) != c.open || reachable(ip, nil, false) != c.plain || reachable(ip, everything, true) != c.allow ||
				reachable(ip, everything, false) != c.allow {
				t.Errorf("%s: reached %v, without TLS %v, where all is allowed %v", text, reachable(ip, nil, true), reachable(ip, nil, false), reachable(ip, everything, true))
			}
		}
	}
	allow, err := ParseAllow([]string{"10.1.0.7/16", "fd12::/16"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"10.1.255.255": true, "10.2.0.0": false, "::ffff:10.1.0.1": true, "fd12::1": true, "fd13::1": false, "127.0.0.1": false, "64:ff9b::a01:1": false} {
		if got := reachable(netip.MustParseAddr(text), allow, false); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{"", "10.0.0.1", "10.0.0.0/33", "host/8", "fe80::1%lo/64"} {
		if _, err := ParseAllow([]string{text}); err == nil {
			t.Errorf("%q is a network", text)
		}
	}
}

// The secret before signs up to the moment at which its day is over.
func TestSecretsOf(t *testing.T) {
	until := time.Unix(1_800_000_000, 0)
	a := store.WebhookAddress{Secret: "new", Previous: "old", Until: until}
	for at, want := range map[time.Time]string{until.Add(-time.Microsecond): "new old", until: "new", until.Add(time.Hour): "new"} {
		if got := strings.Join(secretsOf(a, at), " "); got != want {
			t.Errorf("%s: %q", at, got)
		}
	}
	if got := secretsOf(store.WebhookAddress{}, until); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestSecretKey(t *testing.T) {
	for n, ok := range map[int]bool{0: false, 23: false, 24: true, 64: true, 65: false} {
		if _, err := secretKey(secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, n))); (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, text := range []string{"", secretPrefix, base64.StdEncoding.EncodeToString(make([]byte, 32)), secretPrefix + "!" + strings.Repeat("A", 43)} {
		if _, err := secretKey(text); err == nil {
			t.Errorf("%q is a secret", text)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "99999999999": 0, "2147483647": 2147483647 * time.Second,
		now.Add(time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"): time.Hour, now.Add(-time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"): 0} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// A key is shown neither whole nor in its parts, and what is shown is one line of whole characters.
func TestShown(t *testing.T) {
	a := store.WebhookAddress{URL: "https://h.test/hooks/abcdefgh%2F1?access_token=tok%2Bcanary", Secret: "whsec_c2VjcmV0", Previous: "older"}
	for text, want := range map[string]string{
		"no " + a.URL + " here":                  "no *** here",
		"token tok+canary, path abcdefgh/1":      "token ***, path ***/1",
		"raw tok%2Bcanary and abcdefgh%2F1":      "raw *** and ***",
		"POST /hooks/abcdefgh%2F1?access_token=": "POST ***?access_token=",
		"c2VjcmV0 whsec_c2VjcmV0 older":          "*** *** ***",
		"two\r\nlines\x00 \xff.":                 "two  lines   .",
	} {
		if got := shown(text, a, 512); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	for text, want := range map[string]int{strings.Repeat("a", 512): 512, strings.Repeat("a", 513): 512, "a" + strings.Repeat("é", 256): 511} {
		if got := shown(text, a, 512); len(got) != want {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	}
}
