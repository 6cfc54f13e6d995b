package api

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/inventory"
)

// Each limit at the limit, and one past it.
func TestFindingLimits(t *testing.T) {
	h := sqliteHub(t)
	team := h.project("team", core.Public, nil)
	for tag, n := range map[string]int{"at": 0, "past": 1} {
		found := vulnerable()
		for i := range maxFile + n {
			found.Findings = append(found.Findings, core.Finding{ID: "CVE-1", Severity: core.SeverityLow, Package: fmt.Sprintf("p%06d", i)})
		}
		for i := range maxShownChecks + n {
			found.Checks = append(found.Checks, core.Check{Kind: core.CheckSecret, ID: fmt.Sprint(i)})
		}
		h.scanned("team/app", h.image("team/app", tag, tag), "trivy", found)
		var c CheckList
		h.call(anonymous, "GET", ofApp+tag+"/checks", "").want(200).into(&c)
		if len(c.Checks) != maxShownChecks || c.More != (n > 0) {
			t.Errorf("%s: %d checks, more: %v", tag, len(c.Checks), c.More)
		}
	}
	r := h.call(anonymous, "GET", ofApp+"at/vulnerabilities?format=csv", "").want(200)
	if n := strings.Count(string(r.Body), "\n"); n != maxFile+1 {
		t.Errorf("%d lines", n)
	}
	h.call(anonymous, "GET", ofApp+"past/vulnerabilities?format=csv", "").wantProblem(422, core.CodeLimit)

	image := h.image("team/app", "few", "few")
	h.scanned("team/app", image, "trivy", vulnerable(inText("CVE-1", core.SeverityHigh), inZlib("CVE-2", core.SeverityLow)))
	a, err := h.store.Artifact(h.ctx, team, "app", "few")
	if err != nil {
		t.Fatal(err)
	}
	for most, code := range map[int]core.ErrorCode{2: "", 1: core.CodeLimit} {
		v := inventory.New(h.store, h.dir, h.keeper, slog.New(slog.DiscardHandler), inventory.Limits{Found: most})
		if _, err := v.Findings(h.ctx, "team/app", a, ""); core.CodeOf(err) != code && !(err == nil && code == "") {
			t.Errorf("at most %d: %v", most, err)
		}
	}
}
