package work_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/registry"
	blobs "github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// scanHub is a hub that scans, with as many workers as are asked for.
type scanHub struct {
	*hub
	ctx     context.Context
	store   *store.Store
	reg     *local.Registry
	ring    *seal.Keyring
	scans   *scan.Service
	project *core.Project
	end     func()
}

func newScanHub(h *hub, found func(ctx context.Context, repository, digest string, docs []scan.SBOM) error) *scanHub {
	h.t.Helper()
	s := &scanHub{hub: h, ctx: core.WithPrincipal(context.Background(), core.System()), store: store.New(h.db)}
	var err error
	s.ring, err = seal.New(make([]byte, seal.KeySize))
	s.ok(err)
	s.reg, err = local.New(h.db, blobs.New(blobs.Options{}), local.Options{Record: ledger.Record})
	s.ok(err)
	s.scans = scan.New(scan.Options{Store: s.store, Keyring: s.ring, Registry: s.reg, RegistryURL: "http://hub.test", Found: found,
		SBOMs:  func(context.Context, string, string) []string { return []string{"application/spdx+json"} },
		Token:  func(context.Context, string, core.OneImage) (string, error) { return "one-image", nil },
		Limits: scan.Limits{Answer: 5 * time.Second}, Log: slog.New(slog.DiscardHandler)})
	s.project, err = s.store.CreateProject(s.ctx, store.NewProject{Name: "team"})
	s.ok(err)
	return s
}

// listen has somebody told of all that happens: of what nobody is told nothing is written.
func (s *scanHub) listen() {
	s.t.Helper()
	url := "https://hooks.example.org"
	_, _, err := s.store.PutWebhook(s.ctx, s.ring, nil, "all", store.WebhookPut{Channel: store.ChannelHTTP, Events: []string{"*"}, URL: &url}, 0)
	s.ok(err)
}

func (s *scanHub) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// start runs so many workers until the test ends.
func (s *scanHub) start(workers int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range workers {
		r := s.Runner
		if i > 0 {
			r = jobservice.New(s.db, memory.New(), jobservice.Options{Drain: -1, Sweep: 50 * time.Millisecond})
		}
		r.Register(work.KindScan, work.Scan(s.scans, 2))
		r.Register(work.KindScanImages, work.ScanImages(s.scans, s.db, func(ctx context.Context, job string) error {
			_, err := r.Cancel(ctx, job)
			return err
		}))
		r.Register(work.KindPlanScans, work.PlanScans(s.scans, r))
		waker := work.NewScanWaker(s.store, r, s.scans, slog.New(slog.DiscardHandler))
		all.Go(func() { r.Run(ctx) })
		all.Go(func() { waker.Run(ctx) })
	}
	s.ok(s.db.Follow(s.ctx))
	s.end = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	s.t.Cleanup(s.end)
}

func (s *scanHub) scanner(name string, a *scannertest.Adapter, isDefault bool) {
	s.t.Helper()
	_, _, err := s.store.PutScanner(s.ctx, s.ring, name, store.ScannerPut{URL: a.URL, Default: isDefault}, store.AnyRevision)
	s.ok(err)
}

func (s *scanHub) blob(repository, mediaType, text string) ocispec.Descriptor {
	s.t.Helper()
	d := digest.FromString(text)
	u, err := s.reg.StartUpload(s.ctx, repository, digest.SHA256)
	s.ok(err)
	_, err = s.reg.FinishUpload(s.ctx, repository, u.ID, 0, bytes.NewReader([]byte(text)), d)
	s.ok(err)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(text))}
}

// push pushes an image whose layer has a media type.
func (s *scanHub) push(repository, content, layer string) string {
	s.t.Helper()
	return s.pushConfigured(repository, content, layer, `{"config":{"User":"nobody","Labels":{"of":"`+content+`"}}}`)
}

func (s *scanHub) pushConfigured(repository, content, layer, config string) string {
	s.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest,
		Config: s.blob(repository, ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{s.blob(repository, layer, content)}}
	m.SchemaVersion = 2
	payload, err := json.Marshal(m)
	s.ok(err)
	d := digest.FromBytes(payload)
	_, err = s.reg.PutManifest(s.ctx, repository, registry.ManifestPut{Digest: d, MediaType: m.MediaType, Payload: payload, Tags: []string{content}})
	s.ok(err)
	return string(d)
}

func (s *scanHub) until(what string, there func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !there(); <-tick.C {
		if time.Since(began) > limit {
			jobs, _, _ := jobservice.List(s.ctx, s.db, jobservice.Query{})
			for _, j := range jobs {
				s.t.Logf("%s %s %s %s %s", j.Kind, j.State, j.Payload, j.Message, j.Error)
			}
			s.t.Fatalf("%s has not happened", what)
		}
	}
}

// found waits for what a scanner found in an image.
func (s *scanHub) found(repository, digest, scanner string) (x core.Scan) {
	s.t.Helper()
	s.until("a scan of "+repository, func() bool {
		all, err := s.store.Scans(s.ctx, repository, digest)
		s.ok(err)
		for _, x = range all {
			if x.Scanner == scanner && (x.Scanned() || x.Problem != "") {
				return true
			}
		}
		return false
	})
	return x
}

func (s *scanHub) enqueue(j jobservice.Job) (id string) {
	s.t.Helper()
	s.write(func(tx *db.Tx) (err error) {
		id, err = s.Enqueue(tx, j)
		return err
	})
	return id
}

func (s *scanHub) ended(id string) *jobservice.Status {
	s.t.Helper()
	var j *jobservice.Status
	s.until("the end of a job", func() bool {
		var err error
		j, err = jobservice.Get(s.ctx, s.db, id)
		s.ok(err)
		return !j.FinishedAt.IsZero()
	})
	return j
}

// What is pushed waits for a scanner that answers, and is scanned by that of its project, once, whoever of two workers is first.
// What is no image is not scanned.
func TestScanOnPush(t *testing.T) {
	each(t, func(h *hub) {
		var mu sync.Mutex
		var docs []scan.SBOM
		s := newScanHub(h, func(_ context.Context, _, _ string, all []scan.SBOM) error {
			mu.Lock()
			defer mu.Unlock()
			docs = append(docs, all...)
			return nil
		})
		s.listen()
		s.start(2)
		d := s.push("team/app", "one", ocispec.MediaTypeImageLayerGzip)
		s.push("team/app", "attestation", "application/vnd.in-toto+json")
		if n := s.count(`SELECT COUNT(*) FROM scan_owed`); n != 2 {
			h.t.Errorf("%d images are owed a scan", n)
		}
		a := scannertest.New(h.t, scannertest.Options{Vulnerabilities: true, Looked: []string{"secret"}, SBOMs: map[string]string{"application/spdx+json": `{"a":1}`}})
		a.Find(d, scannertest.Finding{ID: "CVE-1", Package: "p", Version: "1", Severity: "High", FixVersion: "2"})
		a.Check(scannertest.Check{Kind: "secret", ID: "key", Severity: "Critical"})
		s.scanner("one", a, true)
		x := s.found("team/app", d, "one")
		if len(x.Findings) != 1 || !x.Matched || len(x.Checks) != 1 || x.Problem != "" || x.DatabaseAt.IsZero() || x.Image == nil || x.Image.User != "nobody" || x.Image.Labels["of"] != "one" {
			h.t.Errorf("got %+v %+v", x, x.Image)
		}
		s.until("that nothing is owed", func() bool { return s.count(`SELECT COUNT(*) FROM scan_owed`) == 0 })
		if n := len(a.Scans()); n != 1 {
			h.t.Errorf("it was asked %d times", n)
		}
		if mu.Lock(); len(docs) != 1 || string(docs[0].Document) != `{"a":1}` {
			h.t.Errorf("got %v", docs)
		}
		mu.Unlock()
		if n := s.count(`SELECT COUNT(*) FROM event WHERE type = 'artifact.scanned' AND subject = $1 AND data LIKE '%"high":1%' AND project_id = $2`, "team/app@"+d, s.project.ID); n != 1 {
			h.t.Errorf("%d events", n)
		}
		// A second adapter, which looks for malware alone, for one project.
		b := scannertest.New(h.t, scannertest.Options{Looked: []string{"malware"}})
		s.scanner("two", b, false)
		name := "two"
		_, err := s.store.UpdateProject(s.ctx, s.project, store.ProjectPatch{Scanner: &name}, store.AnyRevision)
		s.ok(err)
		x = s.found("team/app", s.push("team/app", "two", ocispec.MediaTypeImageLayer), "two")
		if x.Matched || fmt.Sprint(x.Looked) != "[malware]" {
			h.t.Errorf("got %+v", x)
		}
		if n := len(a.Scans()); n != 1 {
			h.t.Errorf("the other one was asked %d times", n)
		}
	})
}

// A scanner that lies fails its scan for good, with a reason, and one that cannot be reached is asked again (V-13).
func TestScanFails(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		s.listen()
		a := scannertest.New(h.t, scannertest.Options{Vulnerabilities: true})
		a.Behave(scannertest.OtherImage)
		s.scanner("one", a, true)
		s.start(1)
		d := s.push("team/app", "one", ocispec.MediaTypeImageLayerGzip)
		x := s.found("team/app", d, "one")
		if x.Scanned() || !strings.Contains(x.Problem, "is about") {
			h.t.Errorf("got %+v", x)
		}
		s.until("that nothing is owed", func() bool { return s.count(`SELECT COUNT(*) FROM scan_owed`) == 0 })
		if n := s.count(`SELECT COUNT(*) FROM event WHERE type = 'artifact.scanned' AND data LIKE '%"problem":"the scanner%'`); n != 1 {
			h.t.Errorf("%d events", n)
		}
		s.until("the end of its job", func() bool { return s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan' AND state = 'failed'`) == 1 })
		a.Behave(scannertest.Busy)
		j := s.ended(s.enqueue(work.ScanJob(s.project.ID, work.ScanPayload{Repository: "team/app", Digest: d, Scanner: "one", Demanded: true})))
		if j.State != jobservice.Dead || j.Attempts != j.MaxAttempts || !strings.Contains(j.Error, "The queue is full.") {
			h.t.Errorf("got %+v", j)
		}
		// What was found before stays when a later scan fails.
		a.Behave("")
		s.ended(s.enqueue(work.ScanJob(s.project.ID, work.ScanPayload{Repository: "team/app", Digest: d, Scanner: "one"})))
		a.Behave(scannertest.Hostile)
		s.ended(s.enqueue(work.ScanJob(s.project.ID, work.ScanPayload{Repository: "team/app", Digest: d, Scanner: "one"})))
		if x = s.found("team/app", d, "one"); !x.Scanned() || !strings.Contains(x.Problem, "(hostile)") {
			h.t.Errorf("got %+v", x)
		}
	})
}

// A scanner that is deleted before its job ends has the last word about nothing: the next one scans the image.
func TestScannerDeletedDuringScan(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		a := scannertest.New(h.t, scannertest.Options{Vulnerabilities: true})
		release := a.Hold()
		defer release()
		s.scanner("one", a, true)
		s.start(1)
		d := s.push("team/app", "one", ocispec.MediaTypeImageLayerGzip)
		<-a.Asked()
		s.ok(s.store.DeleteScanner(s.ctx, "one", store.AnyRevision))
		release()
		s.until("the end of its job", func() bool {
			return s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan' AND state IN ('queued', 'running')`) == 0
		})
		if n := s.count(`SELECT COUNT(*) FROM scan`); n != 0 {
			h.t.Errorf("%d scans of a scanner that is not there", n)
		}
		s.scanner("two", scannertest.New(h.t, scannertest.Options{Vulnerabilities: true}), true)
		if x := s.found("team/app", d, "two"); !x.Scanned() {
			h.t.Errorf("got %+v", x)
		}
	})
}

// All images of a project are scanned again, and stopping that stops what it asked for.
func TestScanImages(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		off := false
		_, err := s.store.UpdateProject(s.ctx, s.project, store.ProjectPatch{ScanOnPush: &off}, store.AnyRevision)
		s.ok(err)
		for i := range 5 {
			s.push("team/app", fmt.Sprint("image", i), ocispec.MediaTypeImageLayerGzip)
		}
		s.push("team/app", "attestation", "application/vnd.in-toto+json")
		if n := s.count(`SELECT COUNT(*) FROM scan_owed`); n != 0 {
			h.t.Errorf("%d images are owed a scan that the project does not want", n)
		}
		a := scannertest.New(h.t, scannertest.Options{Vulnerabilities: true})
		s.scanner("one", a, true)
		s.start(2)
		j := s.ended(s.enqueue(work.ScanImagesJob(work.ScanImagesPayload{ProjectID: s.project.ID})))
		if n := s.count(`SELECT COUNT(*) FROM scan WHERE report_id IS NOT NULL`); n != 5 || j.State != jobservice.Done || j.Done != j.Total || len(a.Scans()) != 5 {
			h.t.Errorf("%d scans, asked for %d: %+v", n, len(a.Scans()), j)
		}
		release := a.Hold()
		defer release()
		id := s.enqueue(work.ScanImagesJob(work.ScanImagesPayload{}))
		for range 5 { // those of the first
			<-a.Asked()
		}
		<-a.Asked() // one of the second batch is under way
		_, err = s.Cancel(s.ctx, id)
		s.ok(err)
		if j := s.ended(id); j.State != jobservice.Cancelled {
			h.t.Errorf("got %+v", j)
		}
		s.until("the end of its scans", func() bool {
			return s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan' AND state IN ('queued', 'running')`) == 0 && s.count(`SELECT COUNT(*) FROM scan_owed`) == 0
		})
		if n := s.count(`SELECT COUNT(*) FROM scan WHERE problem <> ''`); n != 0 {
			h.t.Errorf("of %d images it is said that they could not be scanned, because somebody stopped it", n)
		}
	})
}

// A project's schedule makes the job that scans its images again when its time has come, once.
func TestScanSchedule(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		line := "@daily"
		_, err := s.store.UpdateProject(s.ctx, s.project, store.ProjectPatch{ScanSchedule: &line}, store.AnyRevision)
		s.ok(err)
		planned := 0
		plan := func(want int) {
			h.t.Helper()
			_, err := s.scans.Plan(s.ctx, scan.Planning{Next: jobservice.Next, Again: func(_ *db.Tx, p *core.Project) error {
				if planned++; p.ID != s.project.ID {
					h.t.Errorf("got %+v", p)
				}
				return nil
			}})
			if s.ok(err); planned != want {
				h.t.Errorf("%d planned, not %d", planned, want)
			}
		}
		plan(0) // when it is next was only reckoned
		next := s.count(`SELECT scan_next_at FROM project`)
		if now := h.db.Micros(); next <= now || next > now+24*time.Hour.Microseconds() {
			h.t.Errorf("next at %d", next)
		}
		plan(0)
		s.exec(`UPDATE project SET scan_next_at = 1`)
		plan(1)
		plan(1)
	})
}
