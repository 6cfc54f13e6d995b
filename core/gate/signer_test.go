package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func TestDistinctSignersAreCounted(t *testing.T) {
	const three = "authorities: [{name: a, key: {ref: ka}}, {name: b, key: {ref: kb}}, {name: c, key: {ref: kc}}]\n"
	registered := NewRegistered(1, []Key{key("ka", keyA), key("kb", keyB), key("kc", keyC)}, nil, []string{"public-good", "ours"})
	again := NewRegistered(1, []Key{key("ka", keyA), key("kb", keyA), key("kc", keyC)}, nil, nil)
	ids := `authorities:
- {name: team, keyless: {trustRoot: public-good, identities: [{issuer: "` + github + `", subjectRegex: '.*@acme\.com'}]}}
- {name: lead, keyless: {trustRoot: public-good, identities: [{issuer: "` + github + `", subject: lead@acme.com}]}}
- {name: mine, keyless: {trustRoot: ours, identities: [{issuer: "` + github + `", subject: lead@acme.com}]}}
signature: {require: `
	lead, dev := signature(keyA, byIdentity(github, "lead@acme.com")), signature(keyA, byIdentity(github, "dev@acme.com"))
	a, b, c := signature(keyA), signature(keyB), signature(keyC)
	for _, tt := range []struct {
		name, spec string
		registered *Registered
		evidence   []core.Evidence
		want       bool
		codes      string
	}{
		{"all of two", three + "signature: {require: {allOf: [a, b]}}", registered, []core.Evidence{a, b}, true, ""},
		{"one of two", three + "signature: {require: {allOf: [a, b]}}", registered, []core.Evidence{a}, false, "NO_VALID_SIGNATURE"},
		{"V-35 one of two, twice", three + "signature: {require: {allOf: [a, b]}}", registered, []core.Evidence{a, signature(keyA, content("again"))}, false, "NO_VALID_SIGNATURE"},
		{"two of three", three + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", registered, []core.Evidence{a, c}, true, ""},
		{"V-35 two of three by one", three + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", registered, []core.Evidence{c, signature(keyC, content("2")), signature(keyC, content("3"))}, false, "NO_VALID_SIGNATURE"},
		{"V-35 one key registered twice", three + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", again, []core.Evidence{a}, false, "NO_VALID_SIGNATURE"},
		{"one key registered twice, and another", three + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", again, []core.Evidence{a, c}, true, ""},
		{"one and one of two", three + "signature: {require: {allOf: [a], anyOf: {of: [b, c]}}}", registered, []core.Evidence{a, c}, true, ""},
		{"one, and none of two", three + "signature: {require: {allOf: [a], anyOf: {of: [b, c]}}}", registered, []core.Evidence{a}, false, "NO_VALID_SIGNATURE"},
		{"one of two, without the one", three + "signature: {require: {allOf: [a], anyOf: {of: [b, c]}}}", registered, []core.Evidence{b, c}, false, "NO_VALID_SIGNATURE"},
		{"an identity under two names", ids + "{allOf: [team, lead]}}", registered, []core.Evidence{lead}, false, "NO_VALID_SIGNATURE"},
		{"an identity under two names, and another", ids + "{allOf: [team, lead]}}", registered, []core.Evidence{lead, dev}, true, ""},
		{"the same by anyOf", ids + "{anyOf: {count: 2, of: [team, lead]}}}", registered, []core.Evidence{lead}, false, "NO_VALID_SIGNATURE"},
		{"an identity by two trust roots", ids + "{anyOf: {count: 2, of: [team, mine]}}}", registered, []core.Evidence{lead, signature(keyA, byIdentity(github, "lead@acme.com"), func(ev *core.Evidence) { ev.Signer.TrustRoot = "ours" })}, false, "NO_VALID_SIGNATURE"},
		{"two of one team", ids + "{anyOf: {count: 2, of: [team, lead]}}}", registered, []core.Evidence{dev, signature(keyA, byIdentity(github, "x@acme.com"))}, false, "NO_VALID_SIGNATURE"},
		{"enough, in another order", ids + "{anyOf: {count: 2, of: [lead, team]}}}", registered, []core.Evidence{dev, lead}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := input([]*Policy{policy(t, "p", tt.spec)}, tt.evidence...)
			in.Registered = tt.registered
			check(t, in, tt.want, tt.codes)
		})
	}
}

func TestTheLifeOfKeys(t *testing.T) {
	day := 24 * time.Hour
	life := func(from, to time.Duration, revoked time.Time) []Key {
		k := key("release", keyA)
		k.RevokedAt = revoked
		if from != 0 {
			k.NotBefore = now.Add(from)
		}
		if to != 0 {
			k.NotAfter = now.Add(to)
		}
		return []Key{k}
	}
	for _, tt := range []struct {
		name     string
		keys     []Key
		evidence core.Evidence
		want     bool
		code     string
		until    time.Duration // 0: for ever
	}{
		{"no bounds", life(0, 0, time.Time{}), signature(keyA), true, "", 0},
		{"within, without time", life(-day, day, time.Time{}), signature(keyA), true, "", day},
		{"a moment before its end", life(-day, 1, time.Time{}), signature(keyA), true, "", 1},
		{"at its end", []Key{{Name: "release", Fingerprint: keyA, Scope: ScopeProject, NotAfter: now}}, signature(keyA), false, "EXPIRED", 0},
		{"at its beginning", []Key{{Name: "release", Fingerprint: keyA, Scope: ScopeProject, NotBefore: now}}, signature(keyA), true, "", 0},
		{"V-34 after its end, without time", life(-2*day, -day, time.Time{}), signature(keyA), false, "EXPIRED", 0},
		{"after its end, signed within", life(-3*day, -day, time.Time{}), signature(keyA, ago(2*day)), true, "", 0},
		{"V-34 signed after its end", life(-3*day, -2*day, time.Time{}), signature(keyA, ago(day)), false, "EXPIRED", 0},
		{"V-34 signed before its beginning", life(-day, day, time.Time{}), signature(keyA, ago(2*day)), false, "EXPIRED", 0},
		{"not yet valid", life(day, 0, time.Time{}), signature(keyA), false, "EXPIRED", day},
		{"V-34 a time that has not come", life(-3*day, -day, time.Time{}), signature(keyA, ago(-time.Hour)), false, "EXPIRED", time.Hour - skew},
		{"V-43 revoked", life(0, 0, now.Add(-day)), signature(keyA), false, "REVOKED", 0},
		{"V-43 revoked after it was signed for certain", life(0, 0, now.Add(-day)), signature(keyA, ago(2*day)), false, "REVOKED", 0},
		{"V-43 revoked from tomorrow: that is now", life(0, 0, now.Add(day)), signature(keyA), false, "REVOKED", 0},
		{"revoked by somebody else", append(life(0, 0, time.Time{}), Key{Name: "x", Fingerprint: keyA, Scope: ScopeHub, RevokedAt: now}), signature(keyA), false, "REVOKED", 0},
		{"two records, of which one has ended", append(life(0, -day, time.Time{}), Key{Name: "x", Fingerprint: keyA, Scope: ScopeHub}), signature(keyA), true, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := input(enforce(), tt.evidence)
			in.Registered = NewRegistered(1, append(tt.keys, key("other", keyB)), nil, nil)
			want := tt.code
			if !tt.want {
				want += " MISSING_ATTESTATION"
			}
			d := check(t, in, tt.want, want)
			var end time.Time
			if tt.until != 0 {
				end = now.Add(tt.until)
			}
			if !d.Until.Equal(end) {
				t.Errorf("it holds until %v, not %v", d.Until, end)
			}
			if tt.until > 0 && d.Allowed() && (!d.Holds(end.Add(-1)) || d.Holds(end)) {
				t.Error("it holds for too long, or not long enough")
			}
		})
	}
}

func TestARevokedKeyIsNobodyInAPolicyEither(t *testing.T) {
	pem := newKey(t)
	key, err := core.ParsePublicKey([]byte(pem))
	if err != nil {
		t.Fatal(err)
	}
	fp := key.Fingerprint
	p := policy(t, "p", "authorities: [{name: a, key: {pem: \""+strings.ReplaceAll(pem, "\n", `\n`)+"\", notAfter: 2026-11-22}}]\n"+sig)
	if keys := p.Keys(); len(keys) != 1 || keys[0].Fingerprint != fp || keys[0].Hash != "sha256" {
		t.Errorf("%+v", keys)
	}
	in := input([]*Policy{p}, signature(fp))
	d := check(t, in, true, "")
	if !d.Until.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("until %v", d.Until)
	}
	in.Registered = NewRegistered(1, []Key{{Name: "x", Fingerprint: fp, Scope: ScopeHub, RevokedAt: now.Add(-time.Hour)}}, nil, nil)
	check(t, in, false, "REVOKED")
}

func TestIdentities(t *testing.T) {
	subject := "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	good := signature(keyA, byIdentity(github, subject))
	change := func(f func(*core.Signer)) core.Evidence {
		ev := good
		s := *good.Signer
		f(&s)
		ev.Signer = &s
		return ev
	}
	spec := `authorities:
- name: gha
  keyless: {trustRoot: public-good, identities: [{issuer: "` + github + `", subjectRegex: 'https://github\.com/acme/.+@refs/tags/v.*', extensions: {runnerEnvironment: github-hosted}}]}
  tlog: {mode: require, threshold: 2}
  timestamps: {tsa: 1}
signature: {require: {allOf: [gha]}}`
	stamped := func(s *core.Signer) {
		s.Logs = []string{"log1", "log2"}
		s.Times = append(s.Times, core.SignedTime{Time: now.Add(-time.Minute), Source: core.TimeAuthority, By: "tsa"})
	}
	for _, tt := range []struct {
		name string
		f    func(*core.Signer)
		code string
	}{
		{"all there", func(*core.Signer) {}, ""},
		{"another issuer", func(s *core.Signer) { s.Issuer = "https://accounts.example" }, "UNTRUSTED_IDENTITY"},
		{"another trust root", func(s *core.Signer) { s.TrustRoot = "mine" }, "UNTRUSTED_IDENTITY"},
		{"another subject", func(s *core.Signer) { s.Subject = "https://github.com/evil/acme@refs/tags/v1" }, "UNTRUSTED_IDENTITY"},
		{"more behind the subject", func(s *core.Signer) { s.Subject = subject + "\n" }, "UNTRUSTED_IDENTITY"},
		{"more before it", func(s *core.Signer) { s.Subject = "x" + subject }, "UNTRUSTED_IDENTITY"},
		{"another extension", func(s *core.Signer) { s.Extensions = map[string]string{"runnerEnvironment": "self-hosted"} }, "UNTRUSTED_IDENTITY"},
		{"no extensions", func(s *core.Signer) { s.Extensions = nil }, "UNTRUSTED_IDENTITY"},
		{"no certificate transparency", func(s *core.Signer) { s.SCT = false }, "TLOG_MISSING"},
		{"one log", func(s *core.Signer) { s.Logs = []string{"log1"} }, "TLOG_MISSING"},
		{"V-35 one log twice", func(s *core.Signer) { s.Logs = []string{"log1", "log1"} }, "TLOG_MISSING"},
		{"no timestamp authority", func(s *core.Signer) { s.Times = s.Times[:1] }, "TLOG_MISSING"},
		{"a time that has not come", func(s *core.Signer) {
			s.Times = []core.SignedTime{{Time: now.Add(time.Hour), Source: core.TimeAuthority, By: "tsa"}}
		}, "TLOG_MISSING"},
		{"no time", func(s *core.Signer) { s.Times = nil }, "TLOG_MISSING"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev := change(func(s *core.Signer) { stamped(s); tt.f(s) })
			check(t, input([]*Policy{policy(t, "p", spec)}, ev), tt.code == "", tt.code)
		})
	}
}

func TestRegisteredIdentities(t *testing.T) {
	id := Identity{Name: "ci", Scope: ScopeHub, TrustRoot: "public-good", Issuer: github, SubjectRegex: `https://github\.com/acme/.*`}
	other := Identity{Name: "bad", TrustRoot: "public-good", Issuer: github, SubjectRegex: ".*"}
	ev := signature(keyA, byIdentity(github, "https://github.com/acme/app"))
	with := func(ids ...Identity) Input {
		in := input(enforce(), ev)
		in.Registered = NewRegistered(1, nil, ids, nil)
		return in
	}
	check(t, with(id), true, "")
	check(t, with(other), false, "NO_KEY NO_KEY")
	if r := NewRegistered(1, nil, []Identity{other}, nil); len(r.Broken()) != 1 || other.Validate() == nil || id.Validate() != nil {
		t.Error("a catch-all is not reported")
	}
	strict := id
	strict.SCT, strict.Log = true, true
	check(t, with(strict), true, "")
	bare := *ev.Signer
	bare.Logs = nil
	ev.Signer = &bare
	check(t, with(strict), false, "TLOG_MISSING MISSING_ATTESTATION")
	check(t, with(strict, id), true, "")
	timeless := bare
	timeless.Times = nil
	ev.Signer = &timeless
	check(t, with(id), false, "TLOG_MISSING MISSING_ATTESTATION")
	ev.Signer = &bare
	revoked := id
	revoked.RevokedAt = now
	check(t, with(id, revoked), false, "REVOKED MISSING_ATTESTATION")
	check(t, with(revoked), false, "NO_KEY NO_KEY")
}

func TestAge(t *testing.T) {
	p := policy(t, "p", "authorities: [{name: a, key: {ref: release}, tlog: {mode: require}}]\nsignature: {require: {allOf: [a]}, maxAge: 24h}")
	d := check(t, input([]*Policy{p}, signature(keyA, ago(time.Hour))), true, "")
	if want := now.Add(23 * time.Hour); !d.Until.Equal(want) || d.Holds(want) || !d.Holds(want.Add(-1)) {
		t.Errorf("until %v", d.Until)
	}
	check(t, input([]*Policy{p}, signature(keyA, ago(24*time.Hour))), false, "EXPIRED")
	check(t, input([]*Policy{p}, signature(keyA, ago(24*time.Hour-time.Second))), true, "")
	check(t, input([]*Policy{p}, signature(keyA)), false, "TLOG_MISSING")
	// The newest of two is what counts, and the oldest time of each.
	check(t, input([]*Policy{p}, signature(keyA, ago(48*time.Hour)), signature(keyA, ago(2*time.Hour), content("2"))), true, "")
	old := signature(keyA, ago(48*time.Hour))
	old.Signer.Times = append(old.Signer.Times, core.SignedTime{Time: now, Source: core.TimeAuthority, By: "tsa"})
	check(t, input([]*Policy{p}, old), false, "EXPIRED")
	// A log that states no time proves that there is an entry, not how old it is.
	untimed := signature(keyA, ago(0))
	untimed.Signer.Times = nil
	check(t, input([]*Policy{p}, untimed), false, "EXPIRED")
}

func TestSignedClaims(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		evidence   core.Evidence
		want       bool
	}{
		{"an annotation", "annotations: {env: prod}", signature(keyA, annotated("env", "prod")), true},
		{"another value", "annotations: {env: prod}", signature(keyA, annotated("env", "dev")), false},
		{"no annotation", "annotations: {env: prod}", signature(keyA), false},
		{"an empty value is not none", "annotations: {env: ''}", signature(keyA), false},
		{"V-32 bound: no claim", "bindRepository: annotation", signature(keyA), false},
		{"V-32 bound: here", "bindRepository: annotation", signature(keyA, annotated(RepositoryAnnotation, repo)), true},
		{"V-32 bound: here, in full", "bindRepository: annotation", signature(keyA, annotated(RepositoryAnnotation, host+"/"+repo)), true},
		{"V-32 bound: elsewhere", "bindRepository: annotation", signature(keyA, annotated(RepositoryAnnotation, "dev/app")), false},
		{"V-32 bound: another hub", "bindRepository: annotation", signature(keyA, annotated(RepositoryAnnotation, "evil.example/"+repo)), false},
		{"V-32 bound: ends the same", "bindRepository: annotation", signature(keyA, annotated(RepositoryAnnotation, "x"+repo)), false},
		{"V-32 legacy: here", "bindRepository: legacy-claim", legacy(keyA, host+"/"+repo), true},
		{"V-32 legacy: elsewhere", "bindRepository: legacy-claim", legacy(keyA, host+"/dev/app"), false},
		{"V-32 legacy: nowhere", "bindRepository: legacy-claim", legacy(keyA, ""), false},
		{"V-32 legacy: a bundle claims nothing", "bindRepository: legacy-claim", signature(keyA, func(ev *core.Evidence) { ev.Repository = repo }), false},
		{"not bound", "bindRepository: off", legacy(keyA, "evil.example/x"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := "PREDICATE_REJECTED"
			if tt.want {
				code = ""
			}
			check(t, input([]*Policy{policy(t, "p", anA+"signature: {require: {allOf: [a]}, "+tt.more+"}")}, tt.evidence), tt.want, code)
		})
	}
}

func TestFormats(t *testing.T) {
	large := signature(keyA, func(ev *core.Evidence) { ev.Size = 5000 })
	unmeasured := signature(keyA, func(ev *core.Evidence) { ev.Size = 0 })
	for _, tt := range []struct {
		formats  string
		evidence core.Evidence
		want     bool
	}{
		{"{bundle: false}", signature(keyA), false}, {"{bundle: false}", legacy(keyA, ""), true},
		{"{legacySignature: false}", legacy(keyA, ""), false}, {"{legacySignature: false}", signature(keyA), true},
		{"{maxBundleBytes: 4999}", large, false}, {"{maxBundleBytes: 5000}", large, true}, {"{maxBundleBytes: 5000}", unmeasured, false},
		{"{bundle: true}", unmeasured, true},
	} {
		code := "NO_VALID_SIGNATURE"
		if tt.want {
			code = ""
		}
		check(t, input([]*Policy{policy(t, "p", anA+sig+"formats: "+tt.formats)}, tt.evidence), tt.want, code)
	}
}
