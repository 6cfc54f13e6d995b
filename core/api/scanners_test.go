package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/work"
)

// scanJobs make jobs as the hub does; nobody runs them here.
func (h *hub) scanJobs() ScanJobs {
	return ScanJobs{Image: func(tx *db.Tx, project, repository, digest, scanner string) (string, error) {
		return h.jobs.Enqueue(tx, work.ScanJob(project, work.ScanPayload{Repository: repository, Digest: digest, Scanner: scanner, Demanded: true}))
	}, Images: func(tx *db.Tx, project, repository string, digests []string) (string, error) {
		return h.jobs.Enqueue(tx, work.ScanImagesJob(work.ScanImagesPayload{ProjectID: project, Repository: repository, Digests: digests}))
	}}
}

// An administrator names scanners; nobody else does, and nobody is shown the secret.
func TestScannersAreForAdministrators(t *testing.T) {
	eachHub(t, func(h *hub) {
		const secret = "secret-canary"
		adapter := scannertest.New(t, scannertest.Options{Vulnerabilities: true, Token: secret})
		root, alice := h.user("root", true), h.user("alice", false)
		body := jsonBody("url", adapter.URL, "secret", secret, "default", true)
		h.call(alice, "PUT", "/scanners/one", body).wantProblem(403, core.CodeForbidden)
		h.call(alice, "GET", "/scanners", "").wantProblem(403, core.CodeForbidden)
		h.call(alice, "POST", "/scans", "").wantProblem(403, core.CodeForbidden)
		made := h.call(root, "PUT", "/scanners/one", body).want(201)
		h.call(root, "PUT", "/scanners/one", body).wantProblem(428, core.CodeIfMatchRequired)
		var v Scanner
		h.call(root, "POST", "/scanners/one/ping", "").want(200).into(&v)
		if !v.Ready || v.Problem != "" || v.DatabaseAt == nil || text(v.Software) != "Test 1" || !v.HasSecret {
			t.Errorf("%+v", v)
		}
		h.call(root, "PUT", "/scanners/one", jsonBody("url", adapter.URL, "secret", "wrong"), "If-Match", made.Header.Get("ETag")).want(200)
		h.call(root, "POST", "/scanners/one/ping", "").want(200).into(&v)
		if v.Ready || !strings.Contains(v.Problem, "answered 401") {
			t.Errorf("%+v", v)
		}
		for _, path := range []string{"/scanners", "/scanners/one", "/audit"} {
			if r := h.call(root, "GET", path, "").want(200); strings.Contains(string(r.Body), secret) || path != "/audit" && !strings.Contains(string(r.Body), adapter.URL) {
				t.Errorf("%s: %s", path, r.Body)
			}
		}
		h.call(root, "DELETE", "/scanners/one", "", "If-Match", "*").want(204)
		h.call(root, "GET", "/scanners/one", "").wantProblem(404, core.CodeNotFound)
	})
}

// Of an index as many images are scanned as a job can name, in its order.
func TestLimitOfScannedImages(t *testing.T) {
	h := sqliteHub(t)
	root := h.user("root", true)
	h.call(root, "PUT", "/scanners/one", jsonBody("url", "http://127.0.0.1:1", "default", true)).want(201)
	h.project("team", core.Private, nil)
	long := "team/" + strings.Repeat("x", 200)
	architectures := make([]string, maxScanned+1)
	for i := range architectures {
		architectures[i] = fmt.Sprint(i)
	}
	for n, tag := range map[int]string{maxScanned: "full", maxScanned + 1: "past"} {
		h.index(long, tag, architectures[:n]...)
		var j Job
		h.call(root, "POST", "/projects/team/repositories/"+long[len("team/"):]+"/artifacts/"+tag+"/scan", "").want(202).into(&j)
		s, err := jobservice.Get(context.Background(), h.db, j.ID)
		if err != nil || strings.Count(string(s.Payload), "sha256:") != maxScanned {
			t.Errorf("%s: %d images, %v", tag, strings.Count(string(s.Payload), "sha256:"), err)
		}
	}
}

// What scans a project is chosen by owners; who may scan gets a job, and whose it is not knows of none.
func TestScansOnDemand(t *testing.T) {
	eachHub(t, func(h *hub) {
		root, alice, bob := h.user("root", true), h.user("alice", false), h.user("bob", false)
		h.call(alice, "POST", "/projects", jsonBody("name", "team", "visibility", "public")).want(201)
		h.call(bob, "POST", "/projects", jsonBody("name", "other", "visibility", "public")).want(201)
		ctx := context.Background()
		one, two := h.image("team/app", "one", "1.0"), h.image("team/app", "two", "2.0")
		att := h.signature("team/app", one, "attestation", "att")
		at := "/projects/team/repositories/app/artifacts/"
		h.call(alice, "POST", at+"1.0/scan", "").wantProblem(409, core.CodeConflict) // by whom?
		h.call(root, "PUT", "/scanners/one", jsonBody("url", "http://127.0.0.1:1", "default", true)).want(201)

		var j Job
		r := h.call(alice, "POST", at+"1.0/scan", "").want(202)
		r.into(&j)
		if j.Kind != "scan" || text(j.Target) != "one" || !strings.HasSuffix(r.Header.Get("Location"), "/projects/team/scans/"+j.ID) {
			t.Errorf("%+v %v", j, r.Header)
		}
		var again Job
		h.call(alice, "POST", at+string(one)+"/scan", "").want(202).into(&again)
		if again.ID != j.ID {
			t.Error("an image is scanned twice at once")
		}
		h.call(bob, "POST", at+"1.0/scan", "").wantProblem(403, core.CodeForbidden)
		h.call(alice, "POST", at+string(att)+"/scan", "").wantProblem(409, core.CodeConflict)
		h.index("team/app", "all", "amd64", "arm64")
		h.call(alice, "POST", at+"all/scan", "").want(202).into(&j)
		s, err := jobservice.Get(ctx, h.db, j.ID)
		if err != nil || j.Kind != "scan-images" || strings.Count(string(s.Payload), "sha256:") != 2 || strings.Contains(string(s.Payload), string(two)) {
			t.Errorf("%s %v", s.Payload, err)
		}
		h.call(alice, "POST", "/projects/team/scan", "").want(202).into(&j)
		h.call(alice, "GET", "/projects/team/scans/"+j.ID, "").want(200)
		h.call(bob, "GET", "/projects/other/scans/"+j.ID, "").wantProblem(404, core.CodeNotFound)
		h.call(bob, "DELETE", "/projects/other/scans/"+j.ID, "").wantProblem(404, core.CodeNotFound)
		h.call(alice, "DELETE", "/projects/team/scans/"+j.ID, "").want(202).into(&j)
		if j.State != "cancelled" {
			t.Errorf("%+v", j)
		}
		h.call(root, "POST", "/scans", "").want(202)
		if r := h.call(root, "GET", "/audit?action=scan.demand", "").want(200); strings.Count(string(r.Body), `"scan.demand"`) != 5 {
			t.Errorf("%s", r.Body)
		}

		set := func(status int, pairs ...any) {
			t.Helper()
			h.call(alice, "PATCH", "/projects/team", jsonBody(pairs...), "If-Match", "*").want(status)
		}
		set(200, "scanner", "one", "scan_on_push", false, "scan_schedule", "@weekly")
		set(400, "scanner", "none")
		set(400, "scan_schedule", "often")
		set(400, "scan_schedule", "*/5 * * * *")
		set(200, "scan_schedule", "0 * * * *")
		h.call(root, "DELETE", "/scanners/one", "", "If-Match", "*").wantProblem(409, core.CodeConflict)
		var p Project
		h.call(alice, "GET", "/projects/team", "").want(200).into(&p)
		if p.Scanner != "one" || p.ScanOnPush || p.ScanSchedule != "0 * * * *" {
			t.Errorf("%+v", p)
		}
		if err := CheckScanSchedule("0 * * * *", time.Now()); err != nil {
			t.Error(err)
		}
	})
}
