package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/service"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
	"github.com/hallmarkhub/hallmark/scanner-adapter/worker"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// The test binary is the child: it asks the registry for leave, and then reports one finding, or what the repository says.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "child" {
		var j job.Job
		told := json.NewDecoder(os.Stdin)
		_ = told.Decode(&j)
		if j.Kind == job.Match {
			matchChild(io.MultiReader(told.Buffered(), os.Stdin))
			return
		}
		if resp, err := http.Get(j.Source.URL); err == nil {
			resp.Body.Close()
		}
		fmt.Print(childAnswer(j))
		return
	}
	os.Exit(m.Run())
}

func childAnswer(j job.Job) string {
	about := j.Digest
	switch j.Repository {
	case "p/refused":
		return `{"Failure":{"Code":"limit","Message":"Too much."}}`
	case "p/liar":
		about = strings.ReplaceAll(digest, "e3b0", "0000")
	case "p/large":
		return `{"Report":"` + strings.Repeat("x", 1<<21) + `"}`
	}
	name := "hub/" + j.Repository + "@" + about
	r := job.Result{Report: json.RawMessage(`{"SchemaVersion":2,"ArtifactName":"` + name + `","Metadata":{"RepoDigests":["` + name + `"]},"Results":[{"Target":"x",` +
		`"Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","InstalledVersion":"1","Severity":"HIGH"}]}]}`)}
	if j.SPDX {
		r.SPDX = json.RawMessage(`{"spdxVersion":"SPDX-2.3"}`)
	}
	if j.CycloneDX {
		r.CycloneDX = json.RawMessage(`{"bomFormat":"CycloneDX"}`)
	}
	b, _ := json.Marshal(r)
	return string(b)
}

// fixture is a service with a registry that lets children go on only when told to.
type fixture struct {
	t        *testing.T
	url      string
	registry string
	met, on  chan struct{}
	log      *bytes.Buffer
}

func start(t *testing.T, change func(*service.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, met: make(chan struct{}, 100), on: make(chan struct{}, 100), log: &bytes.Buffer{}}
	registry := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		f.met <- struct{}{}
		<-f.on
	}))
	f.registry = registry.URL
	box, err := sandbox.NewBox("")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker.Worker{Box: box, Path: self, Args: []string{"child"}, Dir: filepath.Join(t.TempDir(), "scans"),
		Limits: sandbox.Limits{Time: time.Minute, Processor: time.Minute, CPUs: 1, Memory: 1 << 30, Disk: 1 << 20, Output: 1 << 20}}
	if err := w.Sweep(); err != nil {
		t.Fatal(err)
	}
	store, err := database.Open(t.TempDir(), func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	opt := service.Options{Scanner: spec.Scanner{Name: "Trivy", Vendor: "Aqua Security", Version: "0"}, Registries: []*url.URL{u}, Scans: 1, Queue: 2,
		Keep: time.Hour, KeepBytes: 1 << 20, Worker: w, Store: store, Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Databases: []*database.Refresher{{Store: store, Kind: database.Vulnerabilities(), Source: database.Source{Address: "oci://x/y:2"}}, {Store: store, Kind: database.Java()}}}
	imported(t, store, time.Now().Add(-time.Hour))
	if change != nil {
		change(&opt)
	}
	s := service.New(opt)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { s.Run(ctx) })
	server := httptest.NewServer(s.Handler())
	f.url = server.URL
	t.Cleanup(func() { close(f.on); cancel(); all.Wait(); server.Close(); registry.Close() })
	return f
}

func imported(t *testing.T, s *database.Store, at time.Time) {
	t.Helper()
	err := s.Import(t.Context(), database.Vulnerabilities(), "test", false, func(dir string) error {
		meta := fmt.Sprintf(`{"Version":2,"UpdatedAt":%q,"NextUpdate":%q}`, at.Format(time.RFC3339), at.Add(24*time.Hour).Format(time.RFC3339))
		if err := os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(meta), 0o600); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "trivy.db"), []byte("x"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// call sends a request; headers are pairs.
func (f *fixture) call(method, path, body string, headers ...string) (*http.Response, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(b)
}

const requestType = "application/vnd.scanner.adapter.scan.request+json; version=1.0"

// request is a scan of a repository; more is put behind its two parts.
func (f *fixture) request(repository, more string) string {
	return `{"registry":{"url":"` + f.registry + `","authorization":"Basic cm9ib3Q6Y2FuYXJ5LTEyMw=="},"artifact":{"repository":"` + repository +
		`","digest":"` + digest + `","tag":"1.0","mime_type":"` + spec.ImageOCI + `"}` + more + `}`
}

func (f *fixture) ask(repository, more string) string {
	f.t.Helper()
	resp, body := f.call(http.MethodPost, "/api/v1/scan", f.request(repository, more), "Content-Type", requestType)
	var a spec.Accepted
	if err := json.Unmarshal([]byte(body), &a); err != nil || resp.StatusCode != http.StatusAccepted || a.ID == "" || resp.Header.Get("Content-Type") != spec.MediaResponse {
		f.t.Fatalf("%s: %s", resp.Status, body)
	}
	return a.ID
}

// report waits for the end of a scan.
func (f *fixture) report(id, accept, query string) (*http.Response, string) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, body := f.call(http.MethodGet, "/api/v1/scan/"+id+"/report"+query, "", "Accept", accept)
		if resp.StatusCode != http.StatusFound {
			return resp, body
		}
		<-tick.C
	}
}

func (f *fixture) finished(repository, more string) string {
	f.t.Helper()
	id := f.ask(repository, more)
	f.on <- struct{}{}
	f.report(id, "", "")
	return id
}

// fresh is a store without a database.
func fresh(t *testing.T) *database.Store {
	t.Helper()
	s, err := database.Open(t.TempDir(), func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}
