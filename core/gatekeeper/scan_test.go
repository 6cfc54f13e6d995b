package gatekeeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	predicateVEX  = "https://openvex.dev/ns/v0.2.0"
	predicateVuln = "https://cosign.sigstore.dev/attestation/vuln/v1"
	noHigh        = "authorities: [{name: release, key: {ref: release}}]\n  vulnerabilities: {maxSeverity: Medium, vex: {authorities: [release]}}"
)

// demand saves a policy of team, or of the hub.
func (h *hub) demand(p *core.Project, spec string) {
	h.Helper()
	of := ""
	if p != nil {
		of = ", project: " + p.Name
	}
	_, _, err := h.keeper.SavePolicy(h.system, p, "scans", "apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: scans"+of+"}\nspec:\n  "+spec+"\n", store.AnyRevision)
	h.must(err)
}

// scanned is what the end of a job leaves.
func (h *hub) scanned(d digest.Digest, s core.Scan) {
	h.Helper()
	var report int64
	if s.Problem == "" {
		s.Matched = true
		var err error
		report, err = h.store.SaveReport(h.system, &s, nil)
		h.must(err)
	}
	h.must(h.db.Write(h.system, func(tx *db.Tx) error {
		_, err := store.SetScan(tx, store.ScanResult{Repository: repo, Digest: string(d), Scanner: "trivy", Report: report, Problem: s.Problem})
		return err
	}))
}

func bad() core.Scan {
	return core.Scan{Findings: []core.Finding{{ID: "CVE-1", Severity: core.SeverityCritical, Package: "x", Version: "1", PURL: "pkg:npm/x@1", Fixed: "2"}}}
}

// signedHub has one signed image, and a policy about scans.
func signedHub(h *hub, spec string) (image, *signertest.Signer) {
	s := signertest.New()
	h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
	i := h.image(repo, "1", "one")
	h.sign(repo, i.digest, s)
	h.readable(h.guest, i, "1", true)
	h.demand(h.team, spec)
	return i, s
}

// From the first scan to the last exception.
func TestWhatScansFindIsRefused(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := signedHub(h, noHigh)
		says := func(what string) {
			t.Helper()
			_, err := h.reg.Manifest(h.guest, repo, registry.Reference{Digest: i.digest}, false)
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%v, want %q", err, what)
			}
		}
		h.readable(h.guest, i, "1", false)
		says("has not been scanned")
		h.scanned(i.digest, core.Scan{Problem: "the layer is a bomb"})
		h.readable(h.guest, i, "1", false)
		says("the layer is a bomb")
		h.scanned(i.digest, core.Scan{Incomplete: "the distribution plan9 is not known"})
		h.readable(h.guest, i, "1", false)
		says("plan9")
		h.scanned(i.digest, core.Scan{})
		h.readable(h.guest, i, "1", true)
		h.readable(h.guest, i, "1", true) // from memory
		h.scanned(i.digest, bad())
		h.readable(h.guest, i, "1", false)
		says("CVE-1 in x 1 (fixed in 2)")
		h.scanned(i.digest, core.Scan{Problem: "the scanner is away"}) // which takes nothing back
		h.readable(h.guest, i, "1", false)
		says("CVE-1")

		h.attach(repo, i.digest, signertest.New().Bundle(i.digest, predicateVEX, vexOf("fixed")))
		h.readable(h.guest, i, "1", false) // by a stranger
		other := h.image(repo, "2", "two")
		h.attach(repo, i.digest, s.Bundle(other.digest, predicateVEX, vexOf("fixed")))
		h.readable(h.guest, i, "1", false) // about another image
		vex := h.attach(repo, i.digest, s.Bundle(i.digest, predicateVEX, vexOf("fixed")))
		h.readable(h.guest, i, "1", true)
		h.must(h.reg.DeleteManifest(h.owner, repo, vex))
		h.readable(h.guest, i, "1", false)

		elsewhere := h.project("elsewhere", core.BaselineOff)
		exception := store.NewException{Vulnerability: "CVE-1", Reason: "x", ExpiresAt: h.store.Now().Add(time.Hour)}
		must(h.store.CreateException(h.system, elsewhere, exception))
		h.readable(h.guest, i, "1", false)
		x := must(h.store.CreateException(h.system, h.team, exception))
		h.readable(h.guest, i, "1", true)
		h.must(h.store.DeleteException(h.system, h.team, x.ID))
		h.readable(h.guest, i, "1", false)
		must(h.store.CreateException(h.system, h.team, exception))
		h.readable(h.guest, i, "1", true)
		// What the hub demands, no project weakens.
		h.demand(nil, "vulnerabilities: {maxSeverity: Medium}")
		h.readable(h.guest, i, "1", false)
		h.scanned(i.digest, core.Scan{})
		h.readable(h.guest, i, "1", true)
	})
}

func vexOf(status string) map[string]any {
	return map[string]any{"timestamp": "2026-01-01T00:00:00Z", "statements": []any{map[string]any{"vulnerability": map[string]any{"name": "CVE-1"}, "status": status}}}
}

// An exception ends by itself, however long its verdict was kept.
func TestExceptionEnds(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, _ := signedHub(h, noHigh)
		h.scanned(i.digest, bad())
		ends := h.store.Now().Add(time.Hour)
		must(h.store.CreateException(h.system, h.team, store.NewException{Vulnerability: "CVE-1", Repository: repo, Reason: "x", ExpiresAt: ends}))
		x := must(h.keeper.Explain(h.guest, repo, registry.Reference{Tag: "1"}))
		if !x.Allowed || x.Until == nil || !x.Until.Equal(ends.Truncate(time.Microsecond)) {
			t.Errorf("%v until %v, want %v", x.Allowed, x.Until, ends)
		}
		h.must(h.db.Write(h.system, func(tx *db.Tx) error {
			tx.Changed(store.ChangeTrust, "team")
			_, err := tx.Exec(`UPDATE vulnerability_exception SET expires_at = $1`, tx.Now())
			return err
		}))
		h.readable(h.guest, i, "1", false)
	})
}

// What one process learns, another refuses by as soon as it is told.
func TestScanOfAnotherProcess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		h := newHub(t, d)
		i, _ := signedHub(h, noHigh)
		h.scanned(i.digest, core.Scan{})
		beside, told := d, make(chan bool, 100)
		if d.Engine() == db.Postgres { // where there can be another process
			beside = open(t)
		}
		s := store.New(beside)
		_, k := h.process(beside, s, store.NewDirectory(s))
		other := k.Wrap()
		beside.Subscribe(func(changes []db.Change) {
			for _, c := range changes {
				if c.Kind == store.ChangeEvidence {
					told <- true
				}
			}
		})
		h.must(beside.Follow(h.Context()))
		read := func() registry.Code {
			_, err := other.Manifest(h.guest, repo, registry.Reference{Digest: i.digest}, false)
			return registry.CodeOf(err)
		}
		if code := read(); code != "" {
			t.Fatal(code)
		}
		h.scanned(i.digest, bad())
		<-told
		if code := read(); code != registry.CodeDenied {
			t.Errorf("it is served: %q", code)
		}
	})
}

// Attested scans may be had in place of the hub's, and undo nothing that the hub's found, whether they are there or deleted.
func TestAttestedScanHidesNothing(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := signedHub(h, "authorities: [{name: release, key: {ref: release}}]\n  vulnerabilities: {maxSeverity: Medium, source: either}")
		clean := map[string]any{"scanner": map[string]any{"uri": "trivy", "result": map[string]any{"Results": []any{}}}, "metadata": map[string]any{"scanFinishedOn": "2026-01-01T00:00:00Z"}}
		h.attach(repo, i.digest, signertest.New().Bundle(i.digest, predicateVuln, clean))
		h.readable(h.guest, i, "1", false)
		attested := h.attach(repo, i.digest, s.Bundle(i.digest, predicateVuln, clean))
		h.readable(h.guest, i, "1", true)
		h.scanned(i.digest, bad())
		h.readable(h.guest, i, "1", false)
		h.must(h.reg.DeleteManifest(h.owner, repo, attested))
		h.readable(h.guest, i, "1", false)
	})
}

func TestScansOfChildren(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := signedHub(h, noHigh)
		other := h.image(repo, "", "two")
		index := h.index(repo, "both", i.digest, other.digest)
		h.sign(repo, index, s)
		if code := h.code(h.guest, repo, "both", index); code != registry.CodeDenied {
			t.Errorf("nothing of it is scanned: %q", code)
		}
		h.scanned(i.digest, bad())
		h.scanned(other.digest, core.Scan{})
		if code := h.code(h.guest, repo, "both", index); code != "" {
			t.Errorf("one of it may be pulled: %q", code)
		}
		h.readable(h.guest, other, "", true)
		h.readable(h.guest, i, "1", false)
		h.attach(repo, index, s.Bundle(index, predicateVEX, vexOf("fixed")))
		h.readable(h.guest, i, "1", true) // what is said of the index is said of what it lists
	})
}

// A pull of a plain image asks the database no more for a policy about scans.
func TestScansCostNoStatement(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, _ := signedHub(h, noHigh)
		h.scanned(i.digest, core.Scan{})
		count := func() int {
			s := store.New(h.db)
			_, k := h.process(h.db, s, store.NewDirectory(s))
			var r db.Recorder
			h.db.Record(&r)
			_, err := k.Wrap().Manifest(h.guest, repo, registry.Reference{Tag: "1"}, false)
			h.db.Record(nil)
			h.must(err)
			return len(only(r.Take(), "repository_reference"))
		}
		with := count()
		h.must(h.store.DeleteTrustDocument(h.system, h.team, store.TrustPolicy, "scans", store.AnyRevision))
		if without := count(); with != without || with == 0 {
			t.Errorf("%d statements, and %d without the policy", with, without)
		}
	})
}

func TestDryRunOfScans(t *testing.T) {
	eachHub(t, func(h *hub) {
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		i, j := h.image(repo, "1", "one"), h.image(repo, "2", "two")
		h.scanned(i.digest, bad())
		h.scanned(j.digest, core.Scan{})
		run := must(h.keeper.DryRun(h.system, h.team, gatekeeper.Proposal{Document: "apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: scans, project: team}\nspec:\n  " + noHigh}))
		if len(run.Refused) != 1 || run.Refused[0].Digest != string(i.digest) || !strings.Contains(run.Refused[0].Reason, "CVE-1") || run.Repair != nil {
			t.Errorf("%+v", run)
		}
	})
}

// V-36: an exception that cannot be read excepts nothing.
func TestExceptionThatCannotBeRead(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, _ := signedHub(h, noHigh)
		h.scanned(i.digest, bad())
		must(h.store.CreateException(h.system, h.team, store.NewException{Vulnerability: "CVE-1", PURL: "no package", Reason: "x", ExpiresAt: h.store.Now().Add(time.Hour)}))
		h.readable(h.guest, i, "1", false)
		x := must(h.keeper.Explain(h.guest, repo, registry.Reference{Tag: "1"}))
		for _, p := range x.Policies {
			if p.Name == "scans" && (len(p.Reasons) != 1 || p.Reasons[0].Code != gate.TooSevere) {
				t.Errorf("%+v", p)
			}
		}
	})
}
