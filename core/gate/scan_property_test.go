package gate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// scanWorld is a world in which images are scanned and people say things about what was found.
type scanWorld struct{ *world }

func newScanWorld(t testing.TB, seed uint64) *scanWorld {
	t.Helper()
	const who = "authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}, tlog: {mode: require}}]\n"
	w := &scanWorld{&world{Rand: rand.New(rand.NewPCG(seed, seed))}}
	for i, spec := range []string{
		"vulnerabilities: {maxSeverity: Medium}", who + "vulnerabilities: {maxSeverity: none, vex: {authorities: [a]}}",
		who + sig + "\nvulnerabilities: {maxSeverity: High, vex: {authorities: [a, b]}, scanMaxAge: 24h}\nindex: {rule: self}",
		who + "vulnerabilities: {maxSeverity: High, source: either, ignoreUnfixed: true, vex: {authorities: [b]}}",
		who + "vulnerabilities: {maxSeverity: Low, source: attestation, scanMaxAge: 720h, exceptions: false}\nindex: {rule: each}",
		"vulnerabilities: {maxSeverity: High, onMissing: allow, scanners: [s0, s1], allow: [{id: CVE-1, expires: '2026-11-21T13:00:00Z', reason: x}]}",
		"vulnerabilities: {maxSeverity: Medium, onMissing: warn}\ncompliance: {secrets: deny, user: nonroot, scanMaxAge: 48h}",
	} {
		w.policies = append(w.policies, policy(t, fmt.Sprint("p", i), spec))
	}
	return w
}

func (w *scanWorld) scan(name string) core.Scan {
	s := core.Scan{Scanner: name, ScannedAt: now.Add(-one(w.world, time.Minute, 23*time.Hour, 25*time.Hour, 100*24*time.Hour)), Matched: w.IntN(6) > 0,
		Looked: []core.CheckKind{core.CheckSecret}, Image: &core.ImageFacts{User: one(w.world, "", "1000", "1000")}}
	if w.IntN(8) == 0 {
		s.Incomplete = "an unknown distribution"
	}
	for range w.IntN(3) {
		s.Findings = append(s.Findings, vulnerability(fmt.Sprint("CVE-", w.IntN(4)), one(w.world, core.Severities()...), one(w.world, "", "2")))
	}
	if w.IntN(10) == 0 {
		return core.Scan{Scanner: name, Problem: "it broke"}
	}
	return s
}

func (w *scanWorld) scans() (all []core.Scan) {
	for i := range w.IntN(3) {
		all = append(all, w.scan(fmt.Sprint("s", i)))
	}
	return all
}

// statement is what somebody says about a digest, with its bytes under the digest of its content.
func (w *scanWorld) statement(subject string, statements map[string][]byte, kinds ...string) core.Evidence {
	var text string
	at := now.Add(-one(w.world, time.Hour, 25*time.Hour, 800*time.Hour, -time.Hour)).Format(time.RFC3339)
	kind := one(w.world, kinds...)
	if kind == vexType {
		text = strings.NewReplacer("2026-11-20T00:00:00Z", at, "CVE-1", fmt.Sprint("CVE-", w.IntN(4))).Replace(
			vexDoc(one(w.world, "fixed", "not_affected", "affected", "under_investigation"), one(w.world, "", justification)))
	} else {
		text = attestedScan(fmt.Sprintf(`[{"id":"CVE-%d","severity":[{"score":"%s"}]}]`, w.IntN(4), one(w.world, "9.9", "low", "medium")), at)
	}
	var predicate any
	if err := json.Unmarshal([]byte(text), &predicate); err != nil {
		panic(err)
	}
	c := digestOf(fmt.Sprint(subject, w.Uint64()))
	ev := attestation(one(w.world, keyA, keyA, keyB, keyC), kind, of(subject), func(ev *core.Evidence) { ev.Content = c }, ago(one(w.world, time.Minute, 48*time.Hour)))
	if w.IntN(8) > 0 {
		statements[c] = statementOf(subject, kind, predicate)
	}
	return ev
}

func (w *scanWorld) input(statements map[string][]byte, kinds ...string) Input {
	if kinds == nil {
		kinds = []string{vexType, vulnType}
	}
	in := input([]*Policy{one(w.world, w.policies...), one(w.world, w.policies...)}, signature(keyA))
	in.Type = one(w.world, "image", "image", "index", "")
	in.Scans, in.Children = w.scans(), []Related{}
	for i := range w.IntN(3) {
		d := digestOf(fmt.Sprint("related", i))
		in.Indexes = append(in.Indexes, Related{Digest: d, Evidence: []core.Evidence{w.statement(d, statements, kinds...)}})
		in.Children = append(in.Children, Related{Digest: d, Runs: w.IntN(4) > 0, Scans: w.scans(), Evidence: in.Indexes[i].Evidence})
	}
	for range w.IntN(3) {
		in.Evidence = append(in.Evidence, w.statement(image, statements, kinds...))
	}
	if w.IntN(3) == 0 {
		in.Exceptions = NewExceptions([]core.Exception{{Vulnerability: fmt.Sprint("CVE-", w.IntN(4)), ExpiresAt: now.Add(one(w.world, time.Hour, -time.Hour))}})
	}
	in.Registered = NewRegistered(1, []Key{{Name: "release", Fingerprint: keyA, Scope: ScopeProject, NotAfter: one(w.world, time.Time{}, now.Add(time.Hour))}, key("build", keyB)}, nil, nil)
	in.Statement = func(c string) ([]byte, error) {
		if b := statements[c]; b != nil {
			return b, nil
		}
		return nil, errRejected
	}
	return in
}

// Nothing that anybody states lets pass what is too severe, save VEX by whom the policy believes: not signatures, not other
// attestations, not scans that somebody else has made.
func TestNoEvidenceHidesAFinding(t *testing.T) {
	w, refused := newScanWorld(t, 11), 0
	for range rounds {
		statements := map[string][]byte{}
		in := w.input(statements, vexType) // so that what is found was found by scanners
		before := Decide(in, now)
		if !strings.Contains(codes(before), string(TooSevere)) || before.Allowed() {
			continue
		}
		refused++
		add := func(subject string) []core.Evidence {
			junk := w.statement(subject, statements, vexType)
			unverified(&junk)
			stranger := w.statement(subject, statements, vexType)
			stranger.Signer = &core.Signer{Key: keyC}
			return append(w.many(subject, 3), w.statement(subject, statements, vulnType), junk, stranger)
		}
		in.Evidence = append(in.Evidence, add(image)...)
		for i := range in.Indexes {
			in.Indexes[i].Evidence = append(in.Indexes[i].Evidence, add(in.Indexes[i].Digest)...)
			in.Children[i].Evidence = append(in.Children[i].Evidence, add(in.Children[i].Digest)...)
		}
		if after := Decide(in, now); after.Allowed() {
			t.Fatalf("%s became allowed", before.Message(""))
		}
	}
	if refused < rounds/20 {
		t.Errorf("%d of %d are refused for what was found: the world is not worth much", refused, rounds)
	}
}

// However many scanners found nothing, what one found is there.
func TestNoScanHidesAFinding(t *testing.T) {
	w, refused := newScanWorld(t, 12), 0
	for range rounds {
		in := w.input(map[string][]byte{})
		before := Decide(in, now)
		if before.Allowed() || in.Type == "index" || !strings.Contains(codes(before), string(TooSevere)) {
			continue
		}
		refused++
		in.Scans = append(in.Scans, core.Scan{Scanner: "another", ScannedAt: now, Matched: true})
		if after := Decide(in, now); after.Allowed() {
			t.Fatalf("%s became allowed", before.Message(""))
		}
	}
	if refused < rounds/20 {
		t.Errorf("%d of %d are refused for what was found: the world is not worth much", refused, rounds)
	}
}

func TestVerdictsOnScansHoldUntilTheySay(t *testing.T) {
	w, ended, allowed := newScanWorld(t, 13), 0, 0
	for range rounds {
		in := w.input(map[string][]byte{})
		d := Decide(in, now)
		for _, later := range []time.Duration{time.Second, 30 * time.Minute, 2 * time.Hour, 25 * time.Hour, 1000 * time.Hour} {
			at := now.Add(later)
			if !d.Until.IsZero() && at.After(d.Until.Add(-time.Nanosecond)) {
				at = d.Until.Add(-time.Nanosecond)
			}
			if again := Decide(in, at); again.Allowed() != d.Allowed() {
				t.Fatalf("%v until %v, and at %v %v\n%s\n%s", d.Allowed(), d.Until, at, again.Allowed(), d.Message(""), again.Message(""))
			}
		}
		if !d.Until.IsZero() {
			ended++
		}
		if d.Allowed() {
			allowed++
		}
	}
	if ended == 0 || allowed < rounds/20 {
		t.Errorf("%d have an end, %d are allowed", ended, allowed)
	}
}

func TestTheOrderOfScansIsIrrelevant(t *testing.T) {
	w := newScanWorld(t, 14)
	for range rounds {
		in := w.input(map[string][]byte{})
		before := Decide(in, now)
		w.Shuffle(len(in.Evidence), func(i, j int) { in.Evidence[i], in.Evidence[j] = in.Evidence[j], in.Evidence[i] })
		w.Shuffle(len(in.Scans), func(i, j int) { in.Scans[i], in.Scans[j] = in.Scans[j], in.Scans[i] })
		after := Decide(in, now)
		if a, b := fmt.Sprint(before.Allowed(), before.Until), fmt.Sprint(after.Allowed(), after.Until); a != b {
			t.Fatalf("%s\n%s\n%s\n%s", a, b, before.Message(""), after.Message(""))
		}
	}
}

// FuzzVEX: whatever a document says, reading it ends, and only what it says of the image lets anything through.
func FuzzVEX(f *testing.F) {
	for _, doc := range []string{vexDoc("fixed", ""), vexDoc("not_affected", justification+`,"products":[{"@id":"pkg:oci/app","subcomponents":["`+textPURL+`"]}]`),
		`{"statements":[{"vulnerability":"CVE-1","status":"fixed","timestamp":"2020-01-01T00:00:00Z","products":["x"]}]}`} {
		f.Add([]byte(doc))
	}
	p := policy(f, "p", vexRule)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var predicate any
		if json.Unmarshal(doc, &predicate) != nil {
			return
		}
		in := input([]*Policy{p}, attestation(keyA, vexType))
		in.Scans = []core.Scan{scanOf(critical)}
		raw := statementOf(image, vexType, predicate)
		in.Statement = func(string) ([]byte, error) { return raw, nil }
		in.Evidence[0].Payload = ""
		if d := Decide(in, now); d.Allowed() && !strings.Contains(strings.ToUpper(string(raw)), "CVE-1") {
			t.Errorf("%s", doc)
		}
		if _, err := parseAttestedScan(predicate); err == nil && !strings.Contains(string(raw), "scanFinishedOn") {
			t.Errorf("%s is a scan", doc)
		}
		// Attached to another image the same says nothing.
		in.Evidence[0].Subject = index
		if d := Decide(in, now); d.Allowed() {
			t.Errorf("%s about another image", doc)
		}
	})
}
