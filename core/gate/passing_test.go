package gate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// passing is what the explanation of the only policy says that is let pass.
func passing(t *testing.T, in Input) ([]Passing, int) {
	t.Helper()
	x := Explain(in, now, "")
	if len(x.Policies) != 1 {
		t.Fatalf("%+v", x)
	}
	return x.Policies[0].Passing, x.Policies[0].PassingOmitted
}

func TestWhatLetsPassIsTold(t *testing.T) {
	later := now.Add(time.Hour)
	spec := anA + "vulnerabilities: {maxSeverity: Low, vex: {authorities: [a]}, allow: [{id: CVE-3, expires: 2026-12-01, reason: only in tests}]}\n" +
		"compliance: {secrets: deny, allow: [{id: aws-key, path: app/.env, expires: 2026-12-01, reason: an example}]}"
	s := scanOf(critical, unfixed, medium, unknown, vulnerability("CVE-9", core.SeverityHigh, ""))
	s.Checks = []core.Check{{Kind: core.CheckSecret, ID: "aws-key", Severity: core.SeverityLow, Path: "app/.env"}}
	second := s
	second.Scanner = "other"
	in := said(alone(t, spec, s, second), image, vexType, vexDoc("fixed", ""))
	in.Exceptions = NewExceptions([]core.Exception{{ID: "x1", Vulnerability: "cve-2", ExpiresAt: later}, {ID: "x0", Vulnerability: "CVE-2", ExpiresAt: now.Add(time.Minute)}})
	check(t, in, false, "SEVERITY") // CVE-9
	got, omitted := passing(t, in)
	var told []string
	for i := range got {
		p := &got[i]
		end := ""
		if p.Until != nil {
			end = p.Until.UTC().Format(time.DateTime)
		}
		told = append(told, strings.Join([]string{p.Rule, p.ID, string(p.Severity), p.Where, p.Digest, string(p.By), p.Exception, p.Reason, p.SignerIn(English), end}, "|"))
	}
	want := []string{
		"vulnerabilities|CVE-1|Critical|golang.org/x/text 0.3.0||vex|||key release|",
		"vulnerabilities|CVE-2|Critical|golang.org/x/text 0.3.0||exception|x1|||2026-11-21 13:00:00",
		"vulnerabilities|CVE-3|Medium|golang.org/x/text 0.3.0||allow||only in tests||2026-12-01 00:00:00",
		"compliance|aws-key|Low|app/.env||allow||an example||2026-12-01 00:00:00",
	}
	if omitted != 0 || strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\n%d", strings.Join(told, "\n"), omitted)
	}

	// Of what an index lists, with the image in which it is.
	child := digestOf("child")
	in = alone(t, "vulnerabilities: {maxSeverity: Low}")
	in.Type, in.Children = "index", []Related{{Digest: child, Runs: true, Scans: []core.Scan{scanOf(critical)}}}
	in.Exceptions = NewExceptions([]core.Exception{{ID: "x1", Vulnerability: "CVE-1", ExpiresAt: later}})
	if got, _ := passing(t, in); len(got) != 1 || got[0].Digest != child {
		t.Errorf("%+v", got)
	}
}

// As many as are told, one more, and more than are looked at: always the worst.
func TestLimitOfWhatIsToldToPass(t *testing.T) {
	for n, more := range map[int]int{maxPassing: 0, maxPassing + 1: 1, maxGathered + 1: maxGathered + 1 - maxPassing} {
		s := scanOf()
		x := make([]core.Exception, n)
		for i := range n {
			id, severity := fmt.Sprintf("CVE-%05d", i), core.SeverityMedium
			if i == maxPassing-1 {
				severity = core.SeverityCritical
			}
			s.Findings, x[i] = append(s.Findings, vulnerability(id, severity, "")), core.Exception{Vulnerability: id, ExpiresAt: now.Add(time.Hour)}
		}
		in := alone(t, "vulnerabilities: {maxSeverity: Low}", s)
		in.Exceptions = NewExceptions(x)
		check(t, in, true, "")
		got, omitted := passing(t, in)
		if len(got) != maxPassing || omitted != more || got[0].Severity != core.SeverityCritical {
			t.Errorf("%d: %d and %d, first %+v", n, len(got), omitted, got[0])
		}
	}
}

// Whoever writes a VEX document that cannot be read is told, in the refusal and by the verdict.
func TestVEXThatCannotBeReadIsTold(t *testing.T) {
	in := said(alone(t, vexRule, scanOf(critical)), image, vexType, vexDoc("fixed", ""), vexDoc("made_up", ""))
	d := check(t, in, false, "SEVERITY")
	carrier := in.Evidence[1].Carrier
	for _, l := range []Language{English, Chinese} {
		if text := d.Results()[0].Reasons[0].In(l); !strings.Contains(text, short(carrier)) || !strings.Contains(text, "CVE-1") || !strings.Contains(text, "VEX") {
			t.Error(text)
		}
	}
	counts := 0
	found := Explain(in, now, "").Policies[0].Found
	for _, f := range found {
		if f.Counts {
			counts++
		} else if f.Code != VerifierError {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != 2 || counts != 1 {
		t.Errorf("%+v", found)
	}
	in = said(alone(t, vexRule, scanOf(critical)), image, vexType, vexDoc("affected", ""))
	d = check(t, in, false, "SEVERITY")
	if text := d.Message(""); strings.Contains(text, "VEX") {
		t.Error(text)
	}
}

// One rule for the list and for the gate: of several exceptions the one that holds longest is named.
func TestCovering(t *testing.T) {
	x := NewExceptions([]core.Exception{
		{ID: "short", Vulnerability: "CVE-1", ExpiresAt: now.Add(time.Minute)},
		{ID: "long", Vulnerability: "cve-1", PURL: "pkg:golang/golang.org/x/text", Repository: repo, ExpiresAt: now.Add(time.Hour)},
		{ID: "middle", Vulnerability: "CVE-1", ExpiresAt: now.Add(time.Second)},
		{ID: "qualified", Vulnerability: "CVE-2", PURL: textPURL + "?os=linux", ExpiresAt: now.Add(time.Hour)},
	})
	for _, tt := range []struct {
		f          core.Finding
		repository string
		at         time.Duration
		want       string
	}{
		{critical, repo, 0, "long"},
		{critical, repo, time.Hour - 1, "long"},
		{critical, repo, time.Hour, ""},
		{critical, "prod/other", 0, "short"},
		{critical, "prod/other", time.Minute, ""},
		{core.Finding{ID: "CVE-1"}, repo, 0, "short"}, // in no package that has a package URL
		{medium, repo, 0, ""},
		{unfixed, repo, 0, ""},
		{core.Finding{ID: "CVE-2", PURL: textPURL + "?os=linux"}, repo, 0, "qualified"},
	} {
		got := ""
		if one := x.Covering(&tt.f, tt.repository, now.Add(tt.at)); one != nil {
			got = one.ID
		}
		if got != tt.want {
			t.Errorf("%s in %s after %v: %q, not %q", tt.f.ID, tt.repository, tt.at, got, tt.want)
		}
	}
	var none *Exceptions
	if none.Covering(&critical, repo, now) != nil {
		t.Error("no exceptions cover something")
	}
}
