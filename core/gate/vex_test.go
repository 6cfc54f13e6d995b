package gate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Whatever the order in which statements are read, the newest counts; of one moment the one that lets nothing through, and of
// several that do the one that does longest.
func TestTheNewestStatementCounts(t *testing.T) {
	one := func(at int, lets bool, until time.Duration) vexStatement {
		s := vexStatement{names: []string{"CVE-1"}, whole: true, lets: lets, at: now.Add(time.Duration(at) * time.Hour)}
		if until != 0 {
			s.until = now.Add(until)
		}
		return s
	}
	for _, tt := range []struct {
		name       string
		statements []vexStatement
		ok         bool
		until      time.Duration
	}{
		{"none", nil, false, 0},
		{"newer lets", []vexStatement{one(-2, false, 0), one(-1, true, 0), one(-3, false, 0)}, true, 0},
		{"newer does not", []vexStatement{one(-2, true, 0), one(-1, false, 0), one(-3, true, 0)}, false, 0},
		{"both at once", []vexStatement{one(-1, true, 0), one(-1, false, 0), one(-1, true, 0)}, false, 0},
		{"two that let", []vexStatement{one(-1, true, time.Hour), one(-1, true, time.Minute), one(-2, true, 0)}, true, time.Hour},
		{"one without end", []vexStatement{one(-1, true, time.Hour), one(-1, true, 0)}, true, 0},
	} {
		for _, list := range permutations(tt.statements) {
			l := (&vex{statements: list}).lets(&found{Finding: &critical})
			want := time.Time{}
			if tt.until != 0 {
				want = now.Add(tt.until)
			}
			if l.ok != tt.ok || l.ok && !l.until.Equal(want) {
				t.Errorf("%s: %+v of %+v", tt.name, l, list)
			}
		}
	}
}

func permutations(all []vexStatement) (out [][]vexStatement) {
	if len(all) < 2 {
		return [][]vexStatement{all}
	}
	for i := range all {
		for _, rest := range permutations(slices.Delete(slices.Clone(all), i, i+1)) {
			out = append(out, append([]vexStatement{all[i]}, rest...))
		}
	}
	return out
}

// Each statement has its own time, or that of the document.
func TestTimesOfStatements(t *testing.T) {
	doc := func(own string) string {
		return strings.Replace(vexDoc("affected", own), `"statements":[`, `"statements":[{"vulnerability":"CVE-1","status":"fixed"},`, 1)
	}
	check(t, said(alone(t, vexRule, scanOf(critical)), image, vexType, doc(`,"timestamp":"2026-11-19T00:00:00Z"`)), true, "")
	check(t, said(alone(t, vexRule, scanOf(critical)), image, vexType, doc(`,"timestamp":"2026-11-20T00:00:01Z"`)), false, "SEVERITY")
	check(t, said(alone(t, vexRule, scanOf(critical)), image, vexType, doc(`,"timestamp":"yesterday"`)), false, "SEVERITY")
}

// A refusal says when it may end by itself: with the key of who took back what another says, and when a statement that was
// made ahead of our clock comes to be.
func TestUntilVEXSaysOtherwise(t *testing.T) {
	const two = "authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}}]\nvulnerabilities: {maxSeverity: High, vex: {authorities: [a, b]}}"
	in := said(alone(t, two, scanOf(critical)), image, vexType, vexDoc("fixed", ""), strings.Replace(vexDoc("affected", ""), "11-20", "11-21", 1))
	in.Evidence[1].Signer = &core.Signer{Key: keyB}
	ends := now.Add(time.Hour)
	build := key("build", keyB)
	build.NotAfter = ends
	in.Registered = NewRegistered(1, []Key{key("release", keyA), build}, nil, nil)
	if d := check(t, in, false, "SEVERITY"); !d.Until.Equal(ends) {
		t.Error(d.Until)
	}
	if d := Decide(in, ends); !d.Allowed() {
		t.Error(d.Message(""))
	}
	in = said(alone(t, vexRule, scanOf(critical)), image, vexType, strings.Replace(vexDoc("fixed", ""), "2026-11-20T00:00:00Z", "2026-11-21T13:00:00Z", 1))
	comes := now.Add(time.Hour - skew)
	if d := check(t, in, false, "SEVERITY"); !d.Until.Equal(comes) {
		t.Error(d.Until)
	}
	if d := Decide(in, comes); !d.Allowed() {
		t.Error(d.Message(""))
	}
}

// Who has a name for it does not need its address, and no address stands for a name.
func TestNamesOfVEX(t *testing.T) {
	for vulnerability, want := range map[string]bool{
		`{"@id":"https://nvd.example/CVE-1"}`:                true,
		`{"@id":"https://nvd.example/CVE-1","name":"CVE-2"}`: false,
		`{"@id":"https://nvd.example/CVE-2","name":"CVE-1"}`: true,
		`{"name":"CVE-2","aliases":["CVE-1"]}`:               true,
		`{"name":"CVE-2","aliases":"CVE-1"}`:                 false,
		`{"name":""}`:                                        false,
		`{}`:                                                 false,
		`""`:                                                 false,
		`["CVE-1"]`:                                          false,
		`{"name":"CVE-1 "}`:                                  false,
		`{"name":"\u0421VE-1"}`:                              false, // Cyrillic
		`{"description":"CVE-1","name":"x"}`:                 false,
	} {
		doc := strings.Replace(vexDoc("fixed", ""), `{"name":"CVE-1"}`, vulnerability, 1)
		if d := Decide(said(alone(t, vexRule, scanOf(critical)), image, vexType, doc), now); d.Allowed() != want {
			t.Errorf("%s: %v", vulnerability, d.Allowed())
		}
	}
}
