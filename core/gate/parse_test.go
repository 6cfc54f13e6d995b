package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hallmarkhub/hallmark/core"
)

// example has everything a policy can have today.
const example = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: prod-signed, project: prod}
spec:
  require: all
  mode: enforce
  priority: 100
  match:
    repositories: ["prod/**"]
    artifactTypes: [image, index, helm, wasm, other]
    exclude: {repositories: ["prod/cache/**"]}
  index: {rule: covered}
  formats: {bundle: true, legacySignature: true, legacyAttestation: true, maxBundleBytes: 16777216, maxReferrers: 50}
  authorities:
    - name: release-key
      key: {ref: release}
      tlog: {mode: require}
    - name: gha
      keyless:
        trustRoot: public-good
        identities:
          - {issuer: "https://token.actions.githubusercontent.com", subjectRegex: "https://github\\.com/acme/.+/\\.github/workflows/release\\.yml@refs/tags/v.*",
             extensions: {sourceRepositoryURI: "https://github.com/acme/app", runnerEnvironment: github-hosted}}
        sct: require
      tlog: {mode: require, threshold: 1}
      timestamps: {tsa: 0, any: 1}
  signature:
    require: {allOf: [release-key], anyOf: {count: 1, of: [gha]}}
    annotations: {env: prod}
    bindRepository: off
    maxAge: 720h
  attestations:
    - name: sbom
      predicateTypes: [spdx, cyclonedx]
      require: {anyOf: {count: 1, of: [release-key, gha]}}
      maxAge: 4320h
      fields: [{path: "$.spdxVersion", matches: "SPDX-2\\.[23]"}]
      cel: "size(predicate.packages) > 0"
    - name: provenance
      predicateTypes: ["https://slsa.dev/provenance/v1"]
      require: {allOf: [gha]}
      cel: "predicate.buildDefinition.externalParameters.workflow.ref.startsWith('refs/tags/v')"
  exempt:
    principals: [{robot: replication-eu, actions: [pull]}, {permission: sign, actions: [manifest]}, {job: scan, actions: [pull]}]
    digests: [{digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", expires: 2026-12-31, reason: "a week of grace"}]
`

func TestAPolicyIsReadFromYAMLAndFromJSON(t *testing.T) {
	fromYAML, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(strings.Replace(example, "2026-12-31", "'2026-12-31'", 1)), &v); err != nil {
		t.Fatal(err)
	}
	source, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := Parse(source)
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	if a, b := fromYAML.Summary(), fromJSON.Summary(); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
	want := "signature by release-key and gha of the last 720h0m0s, and SBOM attestation (spdx or cyclonedx) by any of [release-key, gha] of the last 4320h0m0s with conditions, " +
		"and attestation (https://slsa.dev/provenance/v1) by gha with conditions"
	if got := fromYAML.Summary().Wants; got != want {
		t.Errorf("%s", got)
	}
	if got := fromYAML.TrustRoots(); len(got) != 1 || got[0] != "public-good" {
		t.Errorf("trust roots %v", got)
	}
}

const (
	anA = "authorities: [{name: a, key: {ref: release}}]\n"
	sig = "signature: {require: {allOf: [a]}}\n"
)

func att(more string) string {
	return "attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [a]}, " + more + "}]\n"
}

func keyless(identity string) string {
	return "authorities: [{name: a, keyless: {trustRoot: public-good, identities: [" + identity + "]}}]\n" + sig
}

func TestWhatCannotWorkIsRefusedWithItsLine(t *testing.T) {
	pem := newKey(t)
	inline := strings.ReplaceAll(pem, "\n", "\\n")
	second := strings.ReplaceAll(newKey(t), "\n", "\\n")
	gha := `issuer: "https://token.actions.githubusercontent.com"`
	for _, tt := range []struct{ name, spec, want string }{
		// The document.
		{"unknown field", anA + sig + "colour: red", "line 7: unknown field \"colour\": spec has attestations, authorities, compliance, exempt, formats, index,"},
		{"unknown field below", anA + "signature: {require: {allOf: [a], most: 1}}", `line 6: unknown field "most": require has allOf, anyOf`},
		{"a field twice", anA + sig + sig, "line 7: signature stands here twice"},
		{"no value", anA + sig + "match:", "line 7: match has no value"},
		{"empty object", anA + sig + "match: {}", "line 7: match is empty"},
		{"empty list", "authorities: []\n" + sig, "line 5: authorities is empty"},
		{"an anchor", "authorities: &x [{name: a, key: {ref: release}}]\n" + sig, "line 5: anchors and aliases"},
		{"a merge key", anA + sig + "<<: {mode: warn}", `line 7: unknown field "<<"`},
		{"a tag", anA + sig + "mode: !x warn", "line 7: tags such as"},
		{"a number for a text", anA + sig + "mode: 1", "line 7: mode is a text"},
		{"a text for a number", anA + sig + "priority: high", "line 7: priority is a whole number"},
		{"a list for an object", anA + sig + "match: [a]", "line 7: match is an object with"},
		{"an object for a list", anA + sig + "attestations: {name: x}", "line 7: attestations is a list"},
		{"an unknown mode", anA + sig + "mode: block", "line 7: mode is one of enforce, warn, audit"},
		{"mode off", anA + sig + "mode: off", "line 7: mode is one of"},
		{"yes is no boolean", anA + sig + "formats: {bundle: yes}", "line 7: bundle is true or false"},

		// What is wanted.
		{"nothing", "mode: enforce", "this policy wants nothing"},
		{"nobody", "signature: {maxAge: 720h}", "signature does not say who must have signed"},
		{"an unknown authority", anA + "signature: {require: {allOf: [b]}}", `line 6: there is no authority "b"`},
		{"more than there are", anA + "signature: {require: {anyOf: {count: 2, of: [a]}}}", "line 6: anyOf wants 2 of 1"},
		{"less than one", anA + "signature: {require: {anyOf: {count: 0, of: [a]}}}", "line 6: count is a whole number from 1"},
		{"anyOf of nobody", anA + "signature: {require: {anyOf: {count: 1}}}", "line 6: anyOf wants 1 of 0"},
		{"an authority twice", anA + "signature: {require: {allOf: [a, a]}}", "line 6: authority a stands here twice"},
		{"in allOf and anyOf", anA + "signature: {require: {allOf: [a], anyOf: {of: [a]}}}", "line 6: authority a stands here twice"},
		{"enforced tags", anA + sig + "match: {tags: [latest]}", "line 7: tags go with mode warn or audit only"},
		{"no format left", anA + sig + "formats: {bundle: false, legacySignature: false}", "line 7: formats leaves none in which a signature"},
		{"no severity", anA + sig + "vulnerabilities: {ignoreUnfixed: true}", "line 7: vulnerabilities does not say what is too bad"},
		{"an allowed vulnerability for ever", anA + sig + "vulnerabilities: {maxSeverity: High, allow: [{id: CVE-2024-1}]}", "line 7: what is allowed has an id"},
		{"an allowed vulnerability without a reason", anA + sig + "vulnerabilities: {maxSeverity: High, allow: [{id: CVE-2024-1, expires: 2027-01-01, reason: ' '}]}", "line 7: what is allowed has an id"},
		{"an allowed package that is none", anA + sig + "vulnerabilities: {maxSeverity: High, allow: [{id: CVE-2024-1, expires: 2027-01-01, reason: x, purl: openssl}]}", "line 7: this is no package URL"},
		{"attestations by nobody", "vulnerabilities: {maxSeverity: High, source: attestation}", "line 5: source attestation needs somebody"},
		{"VEX by nobody known", anA + sig + "vulnerabilities: {maxSeverity: High, vex: {authorities: [b]}}", `line 7: there is no authority "b"`},
		{"VEX in no format", anA + "vulnerabilities: {maxSeverity: High, vex: {authorities: [a]}}\nformats: {bundle: false, legacyAttestation: false}", "line 7: formats leaves none in which an attestation"},
		{"scanners of attestations", anA + sig + "vulnerabilities: {maxSeverity: High, source: attestation, scanners: [trivy]}", "line 7: scanners goes with source"},
		{"a scanner twice", anA + sig + "vulnerabilities: {maxSeverity: High, scanners: [trivy, trivy]}", "line 7: scanners are names"},
		{"an unknown onMissing", anA + sig + "vulnerabilities: {maxSeverity: High, onMissing: maybe}", "line 7: onMissing is one of deny, allow, warn"},
		{"a rule by the name of a block", anA + sig + "attestations: [{name: compliance, predicateTypes: [spdx], require: {allOf: [a]}}]", "line 7: an attestation rule needs a name"},
		{"compliance with nothing", "compliance: {onMissing: deny}", "line 5: compliance wants nothing"},
		{"secrets that may be", "compliance: {secrets: allow}", "line 5: secrets is one of deny"},
		{"any user", "compliance: {user: me}", "line 5: user is one of nonroot"},
		{"licences by severity", "compliance: {checks: [{kind: licence}]}", "line 5: licences are no better or worse"},
		{"secrets twice", "compliance: {secrets: deny, checks: [{kind: secret}]}", "line 5: secret stands here twice"},
		{"a licence denied and allowed", "compliance: {licences: {deny: [MIT], allow: [MIT]}}", `line 5: "MIT" is denied and allowed`},
		{"a label twice", "compliance: {labels: [a, a]}", "line 5: labels are names"},
		{"bad vulnerabilities", anA + sig + "vulnerabilities: {maxSeverity: Huge}", "line 7: maxSeverity is one of"},

		// Who can vouch.
		{"neither key nor keyless", "authorities: [{name: a}]\n" + sig, "line 5: authority a is either a key or keyless"},
		{"two of one name", "authorities: [{name: a, key: {ref: x}}, {name: a, key: {ref: y}}]\n" + sig, "line 5: two authorities are called a"},
		{"a bad name", "authorities: [{name: A b, key: {ref: x}}]\n" + sig, "line 5: an authority needs a name"},
		{"one key twice", "authorities:\n- {name: a, key: {pem: \"" + inline + "\"}}\n- {name: b, key: {pem: \"" + inline + "\"}}\n" + sig, "line 7: the same key as authority a"},
		{"one ref twice", "authorities: [{name: a, key: {ref: x}}, {name: b, key: {ref: x}}]\n" + sig, "line 5: the same registered key as authority a"},
		{"one identity twice", "authorities: [{name: a, keyless: {trustRoot: r, identities: [{" + gha + ", subject: x}]}}, {name: b, keyless: {trustRoot: r, identities: [{" + gha + ", subject: x}]}}]\n" + sig, "line 5: the same identity as in authority a"},
		{"ref and pem", "authorities: [{name: a, key: {ref: x, pem: y}}]\n" + sig, "line 5: a key is either a ref"},
		{"validity of a ref", "authorities: [{name: a, key: {ref: x, notAfter: 2027-01-01}}]\n" + sig, "stand where it is registered"},
		{"no key", "authorities: [{name: a, key: {pem: hello}}]\n" + sig, "line 5: This is no PEM text"},
		{"a private key", "authorities: [{name: a, key: {pem: \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\"}}]\n" + sig, "line 5: This is a PRIVATE key"},
		{"never valid", "authorities: [{name: a, key: {pem: \"" + second + "\", notBefore: 2027-01-01, notAfter: 2026-01-01}}]\n" + sig, "line 5: notAfter is not after notBefore"},
		{"no time", "authorities: [{name: a, key: {pem: \"" + second + "\", notAfter: soon}}]\n" + sig, "line 5: notAfter is a time such as"},
		{"an unknown hash", "authorities: [{name: a, key: {pem: \"" + second + "\", hash: md5}}]\n" + sig, "line 5: hash is one of sha256"},
		{"a threshold of nothing", "authorities: [{name: a, key: {ref: x}, tlog: {mode: ignore, threshold: 2}}]\n" + sig, "line 5: threshold goes with mode require"},
		{"keyless without time", "authorities: [{name: a, keyless: {trustRoot: r, identities: [{" + gha + ", subject: x}]}, timestamps: {any: 0}}]\n" + sig, "line 5: a certificate lives for minutes"},
		{"no trust root", "authorities: [{name: a, keyless: {identities: [{" + gha + ", subject: x}]}}]\n" + sig, "line 5: keyless needs a trustRoot"},
		{"no identities", "authorities: [{name: a, keyless: {trustRoot: r}}]\n" + sig, "line 5: keyless needs identities"},
		{"no subject", keyless("{" + gha + "}"), "line 5: an identity needs a subject"},
		{"an empty subject", keyless("{" + gha + `, subject: ""}`), "line 5: an identity needs a subject"},
		{"any subject", keyless("{" + gha + `, subjectRegex: ".*"}`), "line 5: subjectRegex: this lets anybody in"},
		{"two subjects", keyless("{" + gha + `, subject: x, subjectRegex: y}`), "line 5: an identity has a subject or a subjectRegex"},
		{"a pattern for a subject", keyless("{" + gha + `, subject: "*@acme.com"}`), "line 5: a subject is compared as it is"},
		{"an empty extension", keyless("{" + gha + `, subject: x, extensions: {buildTrigger: ""}}`), "line 5: the extension buildTrigger needs a value"},
		{"an issuer with a star", keyless(`{issuer: "https://*.example", subject: x}`), "line 5: an issuer is compared as it is"},
		{"annotations that are a list", anA + "signature: {require: {allOf: [a]}, annotations: [x]}", "line 6: annotations is an object with names and texts"},
		{"an annotation that is a number", anA + "signature: {require: {allOf: [a]}, annotations: {v: 1.10}}", "line 6: v is a text"},
		{"no issuer", keyless("{subject: x}"), "line 5: an identity needs its issuer"},
		{"any issuer", keyless(`{issuer: ".*", subject: x}`), "line 5: an issuer is the URL"},
		{"an unknown extension", keyless("{" + gha + ", subject: x, extensions: {colour: red}}"), "line 5: no certificate has an extension"},

		// Conditions.
		{"no predicate type", anA + "attestations: [{name: sbom, require: {allOf: [a]}}]", "line 6: sbom does not say which predicateTypes"},
		{"an unknown alias", anA + "attestations: [{name: sbom, predicateTypes: [sbom], require: {allOf: [a]}}]", `line 6: "sbom" is not a predicate type`},
		{"a signature as attestation", anA + "attestations: [{name: s, predicateTypes: [\"https://sigstore.dev/cosign/sign/v1\"], require: {allOf: [a]}}]", "line 6: a signature is no attestation"},
		{"an attestation called signature", anA + "attestations: [{name: signature, predicateTypes: [spdx], require: {allOf: [a]}}]", "line 6: an attestation rule needs a name"},
		{"two rules of one name", anA + "attestations: [{name: s, predicateTypes: [spdx], require: {allOf: [a]}}, {name: s, predicateTypes: [spdx], require: {allOf: [a]}}]", "line 6: two rules are called s"},
		{"age without time", anA + "signature: {require: {allOf: [a]}, maxAge: 720h}", "line 6: maxAge needs a time that can be believed, and a signature by a has none"},
		{"age of an attestation", anA + att("maxAge: 720h"), "line 6: maxAge needs a time"},
		{"an age of nothing", anA + att("maxAge: 0s"), "line 6: maxAge is a duration"},
		{"days", anA + att("maxAge: 30d"), "line 6: maxAge is a duration"},
		{"a claim that no format makes", anA + "signature: {require: {allOf: [a]}, bindRepository: legacy-claim}\nformats: {legacySignature: false}", "line 6: legacy-claim is made by legacy signatures"},
		{"a bad path", anA + att(`fields: [{path: "a.b", equals: 1}]`), "line 6: a path leads from $"},
		{"matches and equals", anA + att(`fields: [{path: "$.a", equals: 1, matches: x}]`), "line 6: a field has either matches or equals"},
		{"neither", anA + att(`fields: [{path: "$.a"}]`), "line 6: a field has either matches or equals"},
		{"a bad expression", anA + att(`fields: [{path: "$.a", matches: "("}]`), "line 6: this regular expression (RE2) does not compile"},
		{"a way out of the group", anA + att(`fields: [{path: "$.a", matches: "a)|(b"}]`), "line 6: this regular expression (RE2) does not compile"},
		{"a backreference", anA + att(`fields: [{path: "$.a", matches: "(a)\\1"}]`), "line 6: this regular expression (RE2) does not compile"},
		{"a large expression", anA + att(`fields: [{path: "$.a", matches: "(a{30}){30}"}]`), "line 6: this regular expression is too large"},
		{"cel that does not compile", anA + att(`cel: "predicate."`), "line 6: cel does not compile"},
		{"cel of an unknown name", anA + att(`cel: "request.ip == '1'"`), "line 6: cel does not compile: undeclared reference"},
		{"cel that is a text", anA + att(`cel: "'yes'"`), "line 6: cel must be true or false"},
		{"cel that may be anything", anA + att(`cel: "predicate.passed"`), "line 6: cel must be true or false"},
		{"cel without end", anA + att(`cel: "`+bomb+`"`), "line 6: cel costs more than the limit"},
		{"cel without text", anA + att(`cel: " "`), "line 6: cel has 1 to"},

		// Where.
		{"other projects", anA + sig + "match: {repositories: [\"dev/**\"]}", `line 7: "dev/**" is not in project prod`},
		{"all projects", anA + sig + "match: {repositories: [\"**\"]}", "line 7: \"**\" is not in project prod"},
		{"projects of the same beginning", anA + sig + "match: {repositories: [\"prod**\"]}", "is not in project prod"},
		{"excluding others'", anA + sig + "match: {exclude: {repositories: [\"dev/**\"]}}", "is not in project prod"},
		{"excluding all", anA + sig + "match: {exclude: {repositories: [\"prod/**\"]}}", "line 7: exclude takes away all"},
		{"a bad glob", anA + sig + "match: {repositories: [\"prod/[a\"]}", "line 7: \"prod/[a\" is not a glob"},
		{"upper case", anA + sig + "match: {repositories: [\"prod/App\"]}", "line 7: \"prod/App\" matches nothing"},
		{"an unknown type", anA + sig + "match: {artifactTypes: [tarball]}", "line 7: artifactTypes[0] is one of"},

		// Exemptions.
		{"no principal", anA + sig + "exempt: {principals: [{actions: [pull]}]}", "line 7: an exempt principal is a robot, a permission or a job"},
		{"two in one", anA + sig + "exempt: {principals: [{robot: x, job: scan, actions: [pull]}]}", "line 7: an exempt principal is a robot, a permission or a job"},
		{"no actions", anA + sig + "exempt: {principals: [{robot: x}]}", "line 7: an exempt principal needs actions"},
		{"an unknown action", anA + sig + "exempt: {principals: [{robot: x, actions: [push]}]}", "line 7: actions[0] is one of manifest, pull"},
		{"everybody", anA + sig + "exempt: {principals: [{permission: pull, actions: [pull]}]}", "line 7: permission is one of push, sign"},
		{"a robot of another project", anA + sig + "exempt: {principals: [{robot: robot$dev+x, actions: [pull]}]}", "line 7: \"robot$dev+x\" is not a robot of project prod"},
		{"a short digest", anA + sig + "exempt: {digests: [{digest: \"sha256:12\", expires: 2027-01-01, reason: x}]}", "line 7: an exempt digest is written in full"},
		{"for ever", anA + sig + "exempt: {digests: [{digest: \"" + image + "\", reason: x}]}", "line 7: an exempt digest needs a day"},
		{"without reason", anA + sig + "exempt: {digests: [{digest: \"" + image + "\", expires: 2027-01-01}]}", "line 7: an exempt digest needs a reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(document1("p", "project: prod", tt.spec)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("want %q, got:\n%v", tt.want, err)
			}
			var e *core.Error
			if !errors.As(err, &e) || e.Code != core.CodeInvalid || len(e.Fields) == 0 {
				t.Errorf("it is no error of the API: %v", err)
			}
		})
	}
}

// bomb walks over 10^7 pairs that stand in the expression itself.
var bomb = func() string {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 215), ",") + "]"
	return list + ".map(a, " + list + ".map(b, " + list + ".map(c, c))).size() > 0"
}()

func TestTheHeadOfADocument(t *testing.T) {
	body := "spec:\n  authorities: [{name: a, key: {ref: r}}]\n  signature: {require: {allOf: [a]}}\n"
	head := "apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: p}\n"
	if _, err := Parse([]byte(head + body)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ source, want string }{
		"empty":            {"", "the document is empty"},
		"a comment":        {"# nothing\n", "the document is empty"},
		"no YAML":          {"a: [", "neither YAML nor JSON"},
		"two documents":    {head + body + "---\n" + head + body, "line 7: there is a second document"},
		"a list":           {"[1]", "a policy is an object"},
		"an alias":         {"&a *a", ""},
		"another version":  {strings.Replace(head, "v1alpha1", "v9", 1) + body, "line 1: apiVersion is hallmark/v1alpha1"},
		"another kind":     {strings.Replace(head, "PullPolicy", "Pod", 1) + body, "line 2: kind is PullPolicy"},
		"no kind":          {strings.Replace(head, "kind: PullPolicy\n", "", 1) + body, "kind is PullPolicy"},
		"a reserved name":  {strings.Replace(head, "name: p", "name: baseline", 1) + body, "the name baseline is taken"},
		"no name":          {strings.Replace(head, "{name: p}", "{project: x}", 1) + body, "metadata.name is made of"},
		"too large":        {head + body + "# " + strings.Repeat("x", maxDocument), "a policy has at most 64 KiB"},
		"short robot, hub": {head + body + "  exempt: {principals: [{robot: x, actions: [pull]}]}\n", "a policy of the hub names robots in full"},
	} {
		if _, err := Parse([]byte(tt.source)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want %q, got %v", name, tt.want, err)
		}
	}
}

func TestLimitsOfADocument(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("authorities:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {name: a%d, key: {ref: r%d}}\n", i, i)
		}
		return b.String() + "signature: {require: {allOf: [a0]}}"
	}
	if _, err := Parse([]byte(document1("p", "", many(maxAuthorities)))); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(document1("p", "", many(maxAuthorities+1)))); err == nil || !strings.Contains(err.Error(), "at most 32 items") {
		t.Error(err)
	}
	rules := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "- {name: r%d, predicateTypes: [spdx], require: {allOf: [a]}}\n", i)
		}
		return anA + sig + "attestations:\n" + b.String()
	}
	if _, err := Parse([]byte(document1("p", "", rules(maxRules)))); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(document1("p", "", rules(maxRules+1)))); err == nil {
		t.Error("one rule past the limit is accepted")
	}
}

func TestWhatIsSavedMeansSomebodyWhoExists(t *testing.T) {
	registered := NewRegistered(1, []Key{
		key("release", keyA), key("also", keyA), {Name: "gone", Fingerprint: keyB, Scope: ScopeProject, RevokedAt: now},
		{Name: "old", Fingerprint: keyC, Scope: ScopeProject, NotAfter: now.Add(-time.Hour)},
	}, nil, []string{"public-good"})
	for _, tt := range []struct{ name, spec, want string }{
		{"a registered key", anA + sig, ""},
		{"an unknown key", "authorities: [{name: a, key: {ref: other}}]\n" + sig, `no key "other" is registered`},
		{"one key under two names", "authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: also}}]\n" + sig, "authority b is the same key as authority a"},
		{"a revoked key", "authorities: [{name: a, key: {ref: gone}}]\n" + sig, "this key is revoked"},
		{"a key that ran out", "authorities: [{name: a, key: {ref: old}}]\n" + sig, "this key ran out"},
		{"a key that ran out, with times", "authorities: [{name: a, key: {ref: old}, tlog: {mode: require}}]\n" + sig, ""},
		{"a known root", keyless("{issuer: \"" + github + "\", subject: x}"), ""},
		{"an unknown root", strings.Replace(keyless("{issuer: \""+github+"\", subject: x}"), "public-good", "ours", 1), "there is no trust root ours"},
		{"an exemption", anA + sig + "exempt: {digests: [{digest: \"" + image + "\", expires: 2026-11-22, reason: x}]}", ""},
		{"an exemption that has ended", anA + sig + "exempt: {digests: [{digest: \"" + image + "\", expires: 2026-11-21, reason: x}]}", "line 7: the exemption of sha256:"},
	} {
		err := policy(t, "p", tt.spec).Check(registered, now)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: want %q, got %v", tt.name, tt.want, err)
		}
	}
	if err := system(t, "p", anA+sig).Check(registered, now); err == nil {
		t.Error("a policy of the hub refers to the key of a project")
	}
}
