package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// What two scanners have found is told once.
func TestComplianceTellsOnce(t *testing.T) {
	s := scanOf()
	s.Checks = []core.Check{{Kind: core.CheckSecret, ID: "aws-key", Path: "app/.env"}}
	second := s
	second.Scanner = "other"
	d := check(t, alone(t, "compliance: {secrets: deny, labels: [org.example.source]}", s, second), false, "COMPLIANCE")
	text := d.Results()[0].Reasons[0].Text
	if strings.Count(text, "aws-key") != 1 || strings.Count(text, "org.example.source") != 1 {
		t.Error(text)
	}
}

// What has to be looked for is as old as the oldest of the scans that did, whichever that is.
func TestUntilComplianceSaysOtherwise(t *testing.T) {
	const block = "compliance: {secrets: deny, checks: [{kind: malware}], labels: [team], scanMaxAge: 24h"
	for name, ages := range map[string][3]time.Duration{ // of the scans for secrets, for malware and of the configuration
		"secrets": {3 * time.Hour, 2 * time.Hour, time.Hour}, "malware": {time.Hour, 3 * time.Hour, 2 * time.Hour}, "labels": {2 * time.Hour, time.Hour, 3 * time.Hour},
	} {
		scans := []core.Scan{
			{Scanner: "a", Looked: []core.CheckKind{core.CheckSecret}},
			{Scanner: "b", Looked: []core.CheckKind{"malware"}},
			{Scanner: "c", Image: &core.ImageFacts{Labels: map[string]string{"team": "a"}}},
		}
		for i := range scans {
			scans[i].ScannedAt = now.Add(-ages[i])
		}
		if d := check(t, alone(t, block+"}", scans...), true, ""); !d.Until.Equal(now.Add(21 * time.Hour)) {
			t.Errorf("%s: until %v", name, d.Until)
		}
		// A second scanner that has looked lately makes it younger.
		young := core.Scan{Scanner: "d", ScannedAt: now.Add(-time.Minute), Looked: []core.CheckKind{core.CheckSecret, "malware"}, Image: scans[2].Image}
		for _, list := range [][]core.Scan{append([]core.Scan{young}, scans...), append(scans, young)} {
			if d := check(t, alone(t, block+"}", list...), true, ""); !d.Until.Equal(now.Add(24*time.Hour - time.Minute)) {
				t.Errorf("%s: until %v with a younger one", name, d.Until)
			}
		}
	}
	s := scanOf()
	s.Checks = []core.Check{{Kind: core.CheckSecret, ID: "aws-key", Path: "app/.env"}}
	d := check(t, alone(t, "compliance: {secrets: deny, allow: [{id: aws-key, expires: '2026-11-21T14:00:00Z', reason: x}]}", s), true, "")
	if !d.Until.Equal(now.Add(2 * time.Hour)) {
		t.Error(d.Until)
	}
}

// Labels are read from the configuration: where nobody has read that, they are not there.
func TestLabelsOfNoConfiguration(t *testing.T) {
	s := scanOf()
	s.Image = nil
	check(t, alone(t, "compliance: {labels: [team]}", s), false, "NOT_SCANNED")
	s.Image = &core.ImageFacts{Labels: map[string]string{"team": " "}}
	check(t, alone(t, "compliance: {labels: [team]}", s), false, "COMPLIANCE")
}

// What has no time was not scanned, whatever it says it looked for.
func TestComplianceOfNoScan(t *testing.T) {
	s := scanOf()
	s.ScannedAt = time.Time{}
	check(t, alone(t, "compliance: {secrets: deny}", s), false, "NOT_SCANNED")
	check(t, alone(t, "compliance: {labels: [team]}", s), false, "NOT_SCANNED")
	check(t, alone(t, "vulnerabilities: {maxSeverity: High}", s), false, "NOT_SCANNED")
}
