package scannertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Media types of reports.
const (
	ReportHarbor  = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
	ReportContent = "application/vnd.hallmark.content.report+json; version=1.0"
	ReportSBOM    = "application/vnd.security.sbom.report+json; version=1.0"
)

// Behaviour is how the adapter behaves when it is asked for a report.
type Behaviour string

// The behaviours. The zero one is that of a good adapter.
const (
	Hang       Behaviour = "hang"         // no answer until the client goes away
	NeverDone  Behaviour = "never done"   // 302 for ever
	Garbage    Behaviour = "garbage"      // no JSON
	Truncated  Behaviour = "truncated"    // half a report
	Endless    Behaviour = "endless"      // a report of 10 GB in one text
	Many       Behaviour = "many"         // a report of findings without an end
	Drip       Behaviour = "drip"         // a byte now and then
	OtherImage Behaviour = "other image"  // a report about another digest
	NoImage    Behaviour = "no image"     // a report that names no digest
	NoSeverity Behaviour = "no severity"  // a severity that is none
	Twice      Behaviour = "twice"        // two lists of findings
	Elsewhere  Behaviour = "elsewhere"    // sends the request of a scan to another address
	Hostile    Behaviour = "hostile"      // says that the image is hostile
	Busy       Behaviour = "busy"         // takes no request
	Forgets    Behaviour = "forgets"      // knows nothing of the scan
	OddID      Behaviour = "odd id"       // names the scan with what is no name
	NotAnImage Behaviour = "not an image" // says that it cannot scan this
)

// Finding is a vulnerability as it is reported.
type Finding struct {
	ID          string         `json:"id"`
	Package     string         `json:"package"`
	Version     string         `json:"version"`
	FixVersion  string         `json:"fix_version,omitempty"`
	Severity    string         `json:"severity"`
	Description string         `json:"description"`
	Links       []string       `json:"links"`
	Vendor      map[string]any `json:"vendor_attributes,omitempty"`
}

// Check is something else that is reported.
type Check struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Severity string `json:"severity,omitempty"`
	Title    string `json:"title,omitempty"`
	Path     string `json:"path,omitempty"`
}

// Options of an adapter.
type Options struct {
	Vulnerabilities bool              // are looked for
	Looked          []string          // kinds of content that are looked for; none: the adapter does not offer it
	SBOMs           map[string]string // documents by media type
	Old             bool              // speaks 1.0, where capabilities have no types
	Token           string            // that it demands as Bearer; "": none
	Fetch           bool              // reads the image with what it was given, as scanners do
}

// Scan is a request of a scan that came.
type Scan struct {
	Registry struct{ URL, Authorization string }
	Artifact struct {
		Repository, Digest string
		MediaType          string `json:"mime_type"`
	}
	Capabilities []struct{ Type string } `json:"enabled_capabilities"`
}

// Adapter is a running adapter. Its methods may be called concurrently.
type Adapter struct {
	*httptest.Server
	opt   Options
	end   chan struct{} // closed when the test ends
	asked chan Scan

	mu         sync.Mutex
	behaviour  Behaviour
	databaseAt time.Time
	findings   map[string][]Finding // by digest; "" is every image
	checks     []Check
	scans      []Scan
	hold       chan struct{} // scans are not done before it is closed; nil: at once
}

// New starts an adapter that ends with the test.
func New(t testing.TB, opt Options) *Adapter {
	a := Start(opt)
	t.Cleanup(a.Close)
	return a
}

// Start starts an adapter. Close ends it.
func Start(opt Options) *Adapter {
	a := &Adapter{opt: opt, end: make(chan struct{}), asked: make(chan Scan, 1000), findings: map[string][]Finding{}, databaseAt: time.Now().UTC().Truncate(time.Second)}
	m := http.NewServeMux()
	m.HandleFunc("GET /api/v1/metadata", a.guarded(a.metadata))
	m.HandleFunc("POST /api/v1/scan", a.guarded(a.accept))
	m.HandleFunc("GET /api/v1/scan/{id}/report", a.guarded(a.report))
	a.Server = httptest.NewServer(m)
	return a
}

// Close ends the adapter, and what hangs in it.
func (a *Adapter) Close() {
	close(a.end)
	a.Server.Close()
}

// Behave changes how it behaves from now on.
func (a *Adapter) Behave(b Behaviour) { a.locked(func() { a.behaviour = b }) }

// Find sets what is found in an image, or in every image if digest is "".
func (a *Adapter) Find(digest string, all ...Finding) { a.locked(func() { a.findings[digest] = all }) }

// Check sets what else is found in every image.
func (a *Adapter) Check(all ...Check) { a.locked(func() { a.checks = all }) }

// SetDatabase sets how new the vulnerability data are.
func (a *Adapter) SetDatabase(at time.Time) { a.locked(func() { a.databaseAt = at }) }

// Hold keeps scans from being done until release is called.
func (a *Adapter) Hold() (release func()) {
	c := make(chan struct{})
	a.locked(func() { a.hold = c })
	return sync.OnceFunc(func() {
		a.locked(func() { a.hold = nil })
		close(c)
	})
}

// Scans are the requests that came so far.
func (a *Adapter) Scans() (all []Scan) {
	a.locked(func() { all = append(all, a.scans...) })
	return all
}

// Asked has each request of a scan when it comes.
func (a *Adapter) Asked() <-chan Scan { return a.asked }

func (a *Adapter) locked(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *Adapter) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.opt.Token != "" && r.Header.Get("Authorization") != "Bearer "+a.opt.Token {
			fail(w, http.StatusUnauthorized, "This needs the credential of the adapter.")
			return
		}
		h(w, r)
	}
}

func fail(w http.ResponseWriter, status int, sentence string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": sentence}})
}

func (a *Adapter) metadata(w http.ResponseWriter, _ *http.Request) {
	images := []string{"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
	type capability map[string]any
	var all []capability
	offer := func(kind, report string, extra capability) {
		c := capability{"consumes_mime_types": images, "produces_mime_types": []string{report}}
		if !a.opt.Old {
			c["type"] = kind
		}
		for k, v := range extra {
			c[k] = v
		}
		all = append(all, c)
	}
	if a.opt.Vulnerabilities {
		offer("vulnerability", ReportHarbor, nil)
	}
	if len(a.opt.Looked) > 0 {
		offer("content", ReportContent, nil)
	}
	if len(a.opt.SBOMs) > 0 {
		var types []string
		for t := range a.opt.SBOMs {
			types = append(types, t)
		}
		offer("sbom", ReportSBOM, capability{"additional_attributes": map[string]any{"sbom_media_types": types}})
	}
	properties := map[string]string{}
	a.locked(func() {
		if a.opt.Vulnerabilities && !a.databaseAt.IsZero() {
			properties["harbor.scanner-adapter/vulnerability-database-updated-at"] = a.databaseAt.Format(time.RFC3339)
		}
	})
	_ = json.NewEncoder(w).Encode(map[string]any{"scanner": map[string]string{"name": "Test", "vendor": "Hallmark", "version": "1"},
		"capabilities": all, "properties": properties})
}

func (a *Adapter) accept(w http.ResponseWriter, r *http.Request) {
	var s Scan
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&s); err != nil {
		fail(w, http.StatusBadRequest, "This is no request of a scan.")
		return
	}
	var b Behaviour
	n := 0
	a.locked(func() {
		b = a.behaviour
		a.scans = append(a.scans, s)
		n = len(a.scans)
	})
	select {
	case a.asked <- s:
	default: // nobody waits for so many
	}
	id := strconv.Itoa(n)
	switch b {
	case Busy:
		fail(w, http.StatusTooManyRequests, "The queue is full.")
		return
	case NotAnImage:
		fail(w, http.StatusUnprocessableEntity, "This cannot be scanned.")
		return
	case Elsewhere:
		http.Redirect(w, r, "http://192.0.2.1/elsewhere", http.StatusTemporaryRedirect)
		return
	case OddID:
		id = "a\x00b"
	}
	if a.opt.Fetch {
		if err := s.fetch(r.Context()); err != nil {
			fail(w, http.StatusInternalServerError, "The image could not be fetched: "+err.Error()+" (fetch)")
			return
		}
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id})
}

func (a *Adapter) report(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("id"))
	var s Scan
	var b Behaviour
	var hold chan struct{}
	a.locked(func() {
		if err == nil && n > 0 && n <= len(a.scans) {
			s = a.scans[n-1]
		}
		b, hold = a.behaviour, a.hold
	})
	if s.Artifact.Digest == "" {
		b = Forgets
	}
	if hold != nil {
		select {
		case <-hold:
		default:
			later(w, r)
			return
		}
	}
	if !a.misbehave(w, r, b, s) {
		return
	}
	body := map[string]any{"generated_at": time.Now().UTC().Truncate(time.Second), "artifact": map[string]string{"repository": s.Artifact.Repository, "digest": s.Artifact.Digest},
		"scanner": map[string]string{"name": "Test"}}
	a.fill(body, r, s)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *Adapter) fill(body map[string]any, r *http.Request, s Scan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch accept := r.Header.Get("Accept"); {
	case strings.HasPrefix(accept, "application/vnd.hallmark.content"):
		body["looked"], body["checks"], body["incomplete"] = a.opt.Looked, append([]Check{}, a.checks...), ""
	case strings.HasPrefix(accept, "application/vnd.security.sbom"):
		t := r.URL.Query().Get("sbom_media_type")
		body["media_type"], body["sbom"] = t, json.RawMessage(a.opt.SBOMs[t])
	default:
		all, of := a.findings[s.Artifact.Digest]
		if !of {
			all = a.findings[""]
		}
		body["severity"], body["vulnerabilities"] = "Unknown", append([]Finding{}, all...)
	}
}

func later(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Refresh-After", "1")
	w.Header().Set("Location", "http://192.0.2.1/elsewhere") // nobody has to follow it
	w.WriteHeader(http.StatusFound)
}

// misbehave answers as no good adapter would; good: it has not.
func (a *Adapter) misbehave(w http.ResponseWriter, r *http.Request, b Behaviour, s Scan) (good bool) {
	head := fmt.Sprintf(`{"artifact":{"repository":%q,"digest":%q},`, s.Artifact.Repository, s.Artifact.Digest)
	switch b {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-a.end:
		}
	case NeverDone:
		later(w, r)
	case Garbage:
		fmt.Fprint(w, "<html>not found</html>")
	case Truncated:
		fmt.Fprint(w, head+`"vulnerabilities":[{"id":"CVE-1","pack`)
	case Endless:
		fmt.Fprint(w, head+`"vulnerabilities":[{"id":"`)
		a.pour(w, r, strings.Repeat("A", 1<<16))
	case Many:
		fmt.Fprint(w, head+`"vulnerabilities":[{"id":"CVE-1","package":"p","severity":"Low"}`)
		a.pour(w, r, strings.Repeat(`,{"id":"CVE-1","package":"p","severity":"Low"}`, 1000))
	case Drip:
		fmt.Fprint(w, head)
		a.drip(w, r)
	case OtherImage:
		fmt.Fprint(w, `{"artifact":{"digest":"sha256:`+strings.Repeat("0", 64)+`"},"vulnerabilities":[],"looked":[]}`)
	case NoImage:
		fmt.Fprint(w, `{"vulnerabilities":[],"looked":[]}`)
	case NoSeverity:
		fmt.Fprint(w, head+`"looked":["secret"],"checks":[{"kind":"secret","id":"x","severity":"harmless"}],
			"vulnerabilities":[{"id":"CVE-1","package":"p","severity":"harmless"}]}`)
	case Twice:
		fmt.Fprint(w, head+`"looked":[],"looked":[],"vulnerabilities":[],"vulnerabilities":[]}`)
	case Hostile:
		fail(w, http.StatusInternalServerError, "A link leaves the image. (hostile)")
	case Forgets:
		fail(w, http.StatusNotFound, "There is no such scan.")
	default:
		return true
	}
	return false
}

// pour writes 10 GB, or until the client has enough.
func (a *Adapter) pour(w http.ResponseWriter, r *http.Request, text string) {
	for n := 0; n < 10<<30 && r.Context().Err() == nil; n += len(text) {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

func (a *Adapter) drip(w http.ResponseWriter, r *http.Request) {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-a.end:
			return
		case <-t.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}
