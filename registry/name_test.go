package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestValidName(t *testing.T) {
	valid := []string{
		"a", "a/b", "library/alpine", "a.b", "a_b", "a__b", "a-b", "a---b", "0/9", "project/team/app",
		"blobs/uploads", "a/manifests/b", strings.Repeat("a", MaxNameLength),
	}
	for _, s := range valid {
		if !ValidName(s) {
			t.Errorf("ValidName(%q) = false", s)
		}
	}
	invalid := []string{
		"", "/", "a/", "/a", "a//b", "A", "a/B", ".a", "a.", "_a", "a_", "-a", "a-", "a..b", "a___b", "a._b", "a-.b", "a_-b",
		"a/./b", "a/../b", "..", "a b", "a\n", "a\x00", "a%2fb", "a;b", "a:b", "ä", "a/\x1b[31m", strings.Repeat("a", MaxNameLength+1),
		strings.Repeat("a/", 127) + "aa",
	}
	for _, s := range invalid {
		if ValidName(s) {
			t.Errorf("ValidName(%q) = true", s)
		}
	}
}

func TestValidTag(t *testing.T) {
	for _, s := range []string{"a", "latest", "_", "1.2.3", "A-b_c.d", strings.Repeat("a", MaxTagLength)} {
		if !ValidTag(s) {
			t.Errorf("ValidTag(%q) = false", s)
		}
	}
	for _, s := range []string{"", ".", "..", ".a", "-a", "a b", "a/b", "a:b", "a+b", "ä", "a\n", strings.Repeat("a", MaxTagLength+1)} {
		if ValidTag(s) {
			t.Errorf("ValidTag(%q) = true", s)
		}
	}
}

// V-30: wrong algorithm, upper case, wrong length.
func TestParseDigest(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 8)
	for _, s := range []string{"sha256:" + hex[:64], "sha512:" + hex} {
		d, err := ParseDigest(s)
		if err != nil || d != digest.Digest(s) {
			t.Errorf("ParseDigest(%q) = %q, %v", s, d, err)
		}
	}
	invalid := []string{
		"", "sha256", "sha256:", ":" + hex[:64], "sha256:" + hex[:63], "sha256:" + hex[:65], "sha512:" + hex[:64],
		"sha256:" + strings.ToUpper(hex[:64]), "SHA256:" + hex[:64], "sha384:" + hex[:96], "md5:" + hex[:32],
		"sha256:" + hex[:63] + "g", "sha256:" + hex[:63] + "\n", "sha256-" + hex[:64], "sha256:baddigeststring",
	}
	for _, s := range invalid {
		if d, err := ParseDigest(s); d != "" || CodeOf(err) != CodeDigestInvalid {
			t.Errorf("ParseDigest(%q) = %q, %v", s, d, err)
		}
	}
	valid := "sha256:" + hex[:64]
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseDigest(valid) }); n != 0 {
		t.Errorf("ParseDigest allocates %v times", n)
	}
}

// The examples of the specification, "Referrers Tag Schema".
func TestFallbackTag(t *testing.T) {
	a := strings.Repeat("a", 128)
	for _, c := range []struct {
		digest digest.Digest
		tag    string
	}{
		{digest.Digest("sha256:" + a[:64]), "sha256-" + a[:64]},
		{digest.Digest("sha512:" + a), "sha512-" + a[:64]},
	} {
		if got := FallbackTag(c.digest); got != c.tag || !ValidTag(got) {
			t.Errorf("FallbackTag(%s) = %s", c.digest, got)
		}
		algorithm, encoded, ok := ParseFallbackTag(c.tag)
		if !ok || algorithm != c.digest.Algorithm() || encoded != a[:64] {
			t.Errorf("ParseFallbackTag(%s) = %s, %s, %v", c.tag, algorithm, encoded, ok)
		}
	}
	for _, tag := range []string{
		"", "latest", "sha256-", "sha256-" + a[:63], "sha256-" + a[:65], "sha256-" + a[:64] + ".sig",
		"sha512-" + a, "md5-" + a[:32], "sha256-" + strings.Repeat("A", 64),
	} {
		if _, _, ok := ParseFallbackTag(tag); ok {
			t.Errorf("ParseFallbackTag(%q) takes it", tag)
		}
	}
}
