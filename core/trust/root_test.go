package trust

import (
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/hallmarkhub/hallmark/core"
)

func TestPublicGoodParties(t *testing.T) {
	r, err := ParseTrustRoot(PublicGood())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Authorities) != 2 || len(r.Logs) != 1 || len(r.CertLogs) != 2 {
		t.Errorf("%+v", r)
	}
	if l := r.Logs[0]; l.Name != "https://rekor.sigstore.dev" || len(l.ID) != 64 || l.From.Year() != 2021 || !l.Until.IsZero() {
		t.Errorf("log %+v", l)
	}
	if a := r.Authorities[0]; a.URI != "https://fulcio.sigstore.dev" || !strings.Contains(a.Name, "sigstore") || a.Until.Year() != 2022 {
		t.Errorf("authority %+v", a)
	}
	text := PublicGood()
	text[0] = 'x'
	if PublicGood()[0] != '{' {
		t.Error("the shipped trust root can be changed")
	}
}

func TestTrustRootsThatAreRefused(t *testing.T) {
	in := newInstance(t)
	marshal := func(cas []root.CertificateAuthority, tsas []root.TimestampingAuthority, logs map[string]*root.TransparencyLog) string {
		tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, cas, in.CTLogs(), tsas, logs)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tr.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := string(PublicGood())
	for name, tt := range map[string]struct{ text, says string }{
		"nothing":       {"", "no trusted_root.json"},
		"other JSON":    {`{"a":1}`, "no trusted_root.json"},
		"no type":       {"{}", "media type"},
		"another type":  {strings.Replace(good, "version=0.1", "version=0.9", 1), "media type"},
		"empty":         {`{"mediaType":"` + root.TrustedRootMediaType01 + `"}`, "empty"},
		"nobody's time": {marshal(in.FulcioCertificateAuthorities(), nil, nil), "neither"},
		"truncated":     {good[:len(good)-9], "no trusted_root.json"},
		"twice":         {good + good, "more JSON"},
		"member twice":  {strings.Replace(good, "{", `{"tlogs":[],`, 1), "twice"},
		"bad key":       {strings.Replace(good, "MFkwEwYH", "AAAAAAAA", 1), "key"},
		"bad chain":     {strings.Replace(good, "MIIB", "AAAA", 1), "certificate"},
		"too long":      {good + strings.Repeat(" ", maxTrustRoot), "limit"},
	} {
		r, err := ParseTrustRoot([]byte(tt.text))
		if r != nil || core.CodeOf(err) != core.CodeInvalid || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"log alone":             marshal(nil, nil, in.logs(t)),
		"timestamp authority":   marshal(nil, in.TimestampingAuthorities(), nil),
		"authority with no log": marshal(in.FulcioCertificateAuthorities(), in.TimestampingAuthorities(), nil),
	} {
		if _, err := ParseTrustRoot([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
