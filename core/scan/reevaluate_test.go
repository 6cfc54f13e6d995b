package scan_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

// matcher is an adapter that matches bills of materials. A bill is {"n": what it is of}.
type matcher struct {
	*httptest.Server
	able bool

	mu       sync.Mutex
	data     time.Time
	find     map[string]string // what the answer about a bill says: members of the line
	poison   string            // the bill that ends the connection
	asked    []string
	requests int
	busy     bool
}

func newMatcher(t *testing.T, data time.Time) *matcher {
	m := &matcher{able: true, data: data, find: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		kind := map[bool]string{true: "sboms", false: "sbom"}[m.able]
		fmt.Fprintf(w, `{"scanner":{"name":"m"},"capabilities":[{"type":"vulnerability","consumes_mime_types":["x"],"produces_mime_types":["y"]},{"type":%q}],"properties":{}}`, kind)
	})
	mux.HandleFunc("POST /api/v1/sboms", m.match)
	m.Server = httptest.NewServer(mux)
	t.Cleanup(m.Close)
	return m
}

func (m *matcher) match(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if m.busy {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 64<<20)
	var answers []string
	for lines.Scan() {
		var d struct {
			ID   string
			SBOM struct{ N string }
		}
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.asked = append(m.asked, d.SBOM.N)
		if d.SBOM.N == m.poison {
			panic(http.ErrAbortHandler)
		}
		said, ok := m.find[d.SBOM.N]
		if !ok {
			said = `"findings":[]`
		}
		answers = append(answers, fmt.Sprintf(`{"id":%q,"database_at":%q,%s}`, d.ID, m.data.Format(time.RFC3339Nano), said))
	}
	slices.Reverse(answers) // in any order
	fmt.Fprintln(w, strings.Join(answers, "\n"))
}

func found(ids ...string) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"id":%q,"package":"p","version":"1","severity":"High","fix_version":"2","description":"d","links":[]}`, id))
	}
	return `"findings":[` + strings.Join(all, ",") + `]`
}

// behind is a hub whose images were scanned a day ago, and a scanner with data of an hour ago.
type behind struct {
	t   *testing.T
	ctx context.Context
	db  *db.DB
	*store.Store
	*matcher
	project *core.Project
	engine  *scan.Reevaluator
	bills   map[string]string // repository to bill
	broken  map[string]bool
	large   int // bytes of each bill
	data    time.Time
	mu      sync.Mutex
	told    map[string]int // changes of evidence by repository
}

func eachBehind(t *testing.T, f func(h *behind)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(newBehind(t, open(t))) })
}

func newBehind(t *testing.T, d *db.DB) *behind {
	h := &behind{t: t, ctx: core.WithPrincipal(context.Background(), core.System()), db: d, Store: store.New(d), bills: map[string]string{}, broken: map[string]bool{},
		data: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), told: map[string]int{}}
	h.ok(migrations.Up(h.ctx, d))
	h.matcher = newMatcher(t, h.data)
	var err error
	h.project, err = h.CreateProject(h.ctx, store.NewProject{Name: "team", Visibility: core.Private})
	h.ok(err)
	d.Subscribe(func(all []db.Change) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range all {
			if c.Kind == store.ChangeEvidence {
				h.told[c.Key]++
			}
		}
	})
	h.exec(`INSERT INTO scanner (name, id, url, secret, is_default, database_at, checked_at, created_at, updated_at, revision)
		VALUES ('m', '1', $1, NULL, TRUE, $2, 1, 0, 0, 1)`, h.URL, h.data.UnixMicro())
	h.engine = reevaluator(h.Store, func(_ context.Context, repository, _ string) ([]byte, bool, error) {
		if h.broken[repository] {
			return nil, false, errors.New("the blob cannot be read")
		}
		n, ok := h.bills[repository]
		return fmt.Appendf(nil, "{\n\"n\": %q, \"x\": %q}", n, strings.Repeat("x", h.large)), ok, nil
	})
	return h
}

// reevaluator is one that has bills of materials from somewhere.
func reevaluator(s *store.Store, bills func(ctx context.Context, repository, digest string) ([]byte, bool, error)) *scan.Reevaluator {
	return scan.NewReevaluator(scan.ReevaluateOptions{Store: s, RescansPerHour: 60, Log: slog.New(slog.DiscardHandler), SBOM: bills,
		Client: func(ctx context.Context, name string) (*scan.Client, *store.Scanner, error) {
			v, err := s.Scanner(ctx, name)
			if err != nil {
				return nil, nil, err
			}
			c, err := scan.NewClient(v, "", scan.Limits{})
			return c, v, err
		}})
}

func (h *behind) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *behind) exec(query string, args ...any) {
	h.t.Helper()
	h.ok(h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// scanned puts an image into a repository of its own, in which a scan a day ago found this.
func (h *behind) scanned(repository, bill string, was core.Scan) {
	h.t.Helper()
	if bill != "" {
		h.bills[repository] = bill
	}
	report, err := h.SaveReport(h.ctx, &was, vulnerabilities(was.Findings))
	h.ok(err)
	h.ok(h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, e1 := tx.Exec(`INSERT INTO repository (id, project_id, name, pushed_at, created_at, updated_at) VALUES ($1, $2, $3, 1, 1, 1)`, store.NewID(), h.project.ID, repository)
		_, e2 := tx.Exec(`INSERT INTO manifest (digest, media_type, size, payload, created_at) VALUES ($1, $2, 2, $3, 1) ON CONFLICT (digest) DO NOTHING`, digest, oci, []byte("{}"))
		_, e3 := tx.Exec(`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by) SELECT id, $1, 0, 1, 'x' FROM repository WHERE name = $2`, digest, repository)
		_, e4 := tx.Exec(`INSERT INTO tag (repository_id, name, digest, created_at, updated_at, updated_by) SELECT id, 'v1', $1, 1, 1, 'x' FROM repository WHERE name = $2`, digest, repository)
		_, e5 := store.SetScan(tx, store.ScanResult{Repository: repository, Digest: digest, Scanner: "m", Report: report, DatabaseAt: h.data.Add(-24 * time.Hour)})
		return errors.Join(e1, e2, e3, e4, e5)
	}))
	h.mu.Lock()
	clear(h.told)
	h.mu.Unlock()
}

func vulnerabilities(findings []core.Finding) (all []core.Vulnerability) {
	for _, f := range findings {
		all = append(all, core.Vulnerability{ID: f.ID, Severity: f.Severity})
	}
	return all
}

// subscribe has somebody be told of everything.
func (h *behind) subscribe() {
	h.exec(`INSERT INTO webhook (id, scope, name, channel, host, recipients, events, repositories, created_at, updated_at) VALUES ('1', '', 'w', 'web', 'x', '[]', '["*"]', '[]', 0, 0)`)
}

func (h *behind) run() error {
	return h.engine.Scanner(h.ctx, "m", scan.Job{Write: h.db.Write, Count: func(int64, int64, string) {}})
}

func (h *behind) now(repository string) core.Scan {
	h.t.Helper()
	all, err := h.Scans(h.ctx, repository, digest)
	h.ok(err)
	if len(all) != 1 {
		h.t.Fatalf("%s has %d scans", repository, len(all))
	}
	return all[0]
}

// events are the data of what was told, by repository.
func (h *behind) events() map[string][]event.Vulnerable {
	h.t.Helper()
	all := map[string][]event.Vulnerable{}
	h.ok(h.db.Query(h.ctx, `SELECT data FROM event WHERE type = 'artifact.vulnerable'`, nil, func(row func(...any) error) error {
		var data string
		var v event.Vulnerable
		if err := errors.Join(row(&data), json.Unmarshal([]byte(data), &v)); err != nil {
			return err
		}
		all[v.Repository] = append(all[v.Repository], v)
		return nil
	}))
	return all
}

func (h *behind) owed() map[string]time.Time {
	h.t.Helper()
	all := map[string]time.Time{}
	h.ok(h.db.Query(h.ctx, `SELECT r.name, o.due_at FROM scan_owed o JOIN repository r ON r.id = o.repository_id`, nil, func(row func(...any) error) error {
		var name string
		var at int64
		err := row(&name, &at)
		all[name] = db.Time(at)
		return err
	}))
	return all
}

func old(ids ...string) core.Scan {
	s := core.Scan{Matched: true, Looked: []core.CheckKind{core.CheckSecret}, Checks: []core.Check{{Kind: core.CheckSecret, ID: "key", Path: "a"}},
		Image: &core.ImageFacts{User: "1000"}}
	for _, id := range ids {
		s.Findings = append(s.Findings, core.Finding{ID: id, Severity: core.SeverityHigh, Package: "p", Version: "1", Fixed: "2"})
	}
	return s
}

// Newer data are considered for each image, from its bill of materials; what is new is told once, and what a match does not look
// at stays.
func TestReevaluation(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.subscribe()
		h.scanned("team/more", "one", old("CVE-1"))
		h.scanned("team/twin", "one", old("CVE-1"))
		h.scanned("team/less", "two", old("CVE-1", "CVE-2"))
		h.scanned("team/same", "three", old("CVE-3"))
		malware := core.Scan{Looked: []core.CheckKind{"malware"}}
		h.scanned("team/malware", "one", malware)
		h.find["one"], h.find["two"], h.find["three"] = found("CVE-1", "CVE-9"), found("CVE-2"), found("CVE-3")
		h.ok(h.run())

		for repository, ids := range map[string][]string{"team/more": {"CVE-1", "CVE-9"}, "team/twin": {"CVE-1", "CVE-9"}, "team/less": {"CVE-2"}, "team/same": {"CVE-3"}} {
			got, want := h.now(repository), old(ids...)
			if !got.DatabaseAt.Equal(h.data) {
				t.Errorf("%s was matched with data of %s", repository, got.DatabaseAt)
			}
			got.Scanner, got.ScannedAt, got.DatabaseAt = "", time.Time{}, time.Time{}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, want %+v", repository, got, want)
			}
			if h.told[repository] != 1 {
				t.Errorf("that the evidence of %s changed is published %d times", repository, h.told[repository])
			}
		}
		if got := h.now("team/malware"); got.DatabaseAt.Equal(h.data) || got.Matched {
			t.Errorf("an image in which no vulnerabilities were looked for: %+v", got)
		}
		if slices.Sort(h.asked); !slices.Equal(h.asked, []string{"one", "three", "two"}) {
			t.Errorf("the scanner was asked about %q", h.asked)
		}
		news := []event.NewFound{{ID: "CVE-9", Severity: "High", Package: "p", Version: "1", Fixed: "2"}}
		want := map[string][]event.Vulnerable{}
		for _, r := range []string{"team/more", "team/twin"} {
			want[r] = []event.Vulnerable{{Repository: r, Digest: digest, Tags: []string{"v1"}, Severity: "High", New: news}}
		}
		if got := h.events(); !reflect.DeepEqual(got, want) {
			t.Errorf("the events are %+v", got)
		}

		h.ok(h.run())
		if len(h.asked) != 3 || len(h.events()) != 2 || len(h.owed()) != 0 {
			t.Errorf("the second time did something: %q", h.asked)
		}
		if all, err := h.ScannersBehind(h.ctx); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	})
}

// What cannot be matched is scanned again, not all at once, and is not taken for what it may no longer be.
func TestReevaluationByScan(t *testing.T) {
	eachBehind(t, func(h *behind) {
		incomplete := old("CVE-1")
		incomplete.Incomplete = "the distribution is not known"
		h.scanned("team/incomplete", "one", incomplete)
		h.scanned("team/none", "", old("CVE-1"))
		h.scanned("team/broken", "", old("CVE-1"))
		h.broken["team/broken"] = true
		for n, said := range map[string]string{"error": `"error":"hostile"`, "partly": `"findings":[],"incomplete":"no package URL"`, "lying": `"findings":[{"id":"CVE 1"}]`,
			"poison": found(), "fine": found("CVE-1")} {
			h.scanned("team/"+n, n, old("CVE-1"))
			h.find[n] = said
		}
		h.poison = "poison"
		h.ok(h.run())
		due := h.owed()
		names := slices.Sorted(maps.Keys(due))
		if !slices.Equal(names, []string{"team/broken", "team/error", "team/incomplete", "team/lying", "team/none", "team/partly", "team/poison"}) {
			t.Fatalf("scans are owed of %q", names)
		}
		at := slices.SortedFunc(maps.Values(due), time.Time.Compare)
		for i := range at[1:] {
			if gap := at[i+1].Sub(at[i]); gap < 59*time.Second {
				t.Errorf("two are due within %s", gap)
			}
		}
		for _, name := range names {
			if got := h.now(name); got.DatabaseAt.Equal(h.data) || len(got.Findings) != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := h.now("team/fine"); !got.DatabaseAt.Equal(h.data) {
			t.Errorf("one that can be matched is as old as it was: %+v", got)
		}
		before := len(h.asked)
		h.ok(h.run())
		if len(h.asked) != before {
			t.Errorf("the second time it was asked again: %q", h.asked[before:])
		}
	})
}

// A scanner that matches nothing has its images scanned again; of another project's scanner they are left alone.
func TestReevaluationWithoutTheCapability(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.able = false
		h.scanned("team/a", "one", old())
		h.ok(h.run())
		if len(h.owed()) != 1 || h.requests != 0 {
			t.Errorf("%v are owed, %d requests", h.owed(), h.requests)
		}
		h.scanned("team/b", "one", old())
		h.exec(`UPDATE scanner SET is_default = FALSE`)
		h.ok(h.run())
		if len(h.owed()) != 1 {
			t.Errorf("%v are owed", h.owed())
		}
	})
}

// A scanner that is busy, or answers with other data than it said it has, decides nothing.
func TestReevaluationDecidesNothingWithoutTheData(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.scanned("team/a", "one", old("CVE-1"))
		h.busy = true
		if err := h.run(); err == nil || h.now("team/a").DatabaseAt.Equal(h.data) || len(h.owed()) != 0 {
			t.Errorf("%v, %v", err, h.owed())
		}
		h.busy, h.matcher.data = false, h.data.Add(-48*time.Hour)
		h.ok(h.run())
		if got := h.now("team/a"); len(got.Findings) != 1 || len(h.owed()) != 1 {
			t.Errorf("%+v, %v", got, h.owed())
		}
	})
}

// F-12: a worker that ends between two pages, whether the last one was committed or not, loses nothing and tells nothing twice.
func TestReevaluationIsInterrupted(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.subscribe()
		const images = 120
		for i := range images {
			h.scanned(fmt.Sprintf("team/a%d", i), fmt.Sprint(i), old("CVE-1"))
			h.find[fmt.Sprint(i)] = found("CVE-1", "CVE-9")
		}
		lost := errors.New("lost")
		for _, committed := range []bool{false, true} {
			pages := 0
			err := h.engine.Scanner(h.ctx, "m", scan.Job{Count: func(int64, int64, string) {}, Write: func(ctx context.Context, f func(tx *db.Tx) error) error {
				if pages++; pages < 2 && !committed {
					return h.db.Write(ctx, f)
				}
				err := h.db.Write(ctx, func(tx *db.Tx) error {
					if err := f(tx); err != nil || committed {
						return err
					}
					return lost
				})
				return errors.Join(err, lost)
			}})
			if !errors.Is(err, lost) {
				t.Fatal(err)
			}
		}
		left, err := h.OldScanCount(h.ctx, "m", h.data)
		if h.ok(err); left != images-100 {
			t.Fatalf("%d are left", left)
		}
		h.ok(h.run())
		all := h.events()
		for i := range images {
			name := fmt.Sprintf("team/a%d", i)
			if len(all[name]) != 1 || len(h.now(name).Findings) != 2 {
				t.Fatalf("%s: %d events, %+v", name, len(all[name]), h.now(name))
			}
		}
	})
}

// A scan that ends while its image is matched counts, and the match does not.
func TestScanDuringReevaluation(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.subscribe()
		h.scanned("team/a", "one", old("CVE-1"))
		h.find["one"] = found("CVE-9")
		first := true
		h.ok(h.engine.Scanner(h.ctx, "m", scan.Job{Count: func(int64, int64, string) {}, Write: func(ctx context.Context, f func(tx *db.Tx) error) error {
			if first {
				first = false
				newer := old("CVE-7")
				report, err := h.SaveReport(ctx, &newer, vulnerabilities(newer.Findings))
				h.ok(err)
				h.ok(h.db.Write(ctx, func(tx *db.Tx) error {
					_, err := store.SetScan(tx, store.ScanResult{Repository: "team/a", Digest: digest, Scanner: "m", Report: report, DatabaseAt: h.data.Add(time.Minute)})
					return err
				}))
			}
			return h.db.Write(ctx, f)
		}}))
		if got := h.now("team/a"); len(got.Findings) != 1 || got.Findings[0].ID != "CVE-7" || len(h.events()) != 0 {
			t.Errorf("%+v, %v", got, h.events())
		}
	})
}

// A scan that ran while the data changed, and ends after the match, is looked at again.
func TestScanWithOlderDataAfterReevaluation(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.scanned("team/a", "one", old("CVE-1"))
		h.find["one"] = found("CVE-9")
		h.ok(h.run())
		was := old("CVE-1")
		report, err := h.SaveReport(h.ctx, &was, nil)
		h.ok(err)
		h.ok(h.db.Write(h.ctx, func(tx *db.Tx) error {
			_, err := store.SetScan(tx, store.ScanResult{Repository: "team/a", Digest: digest, Scanner: "m", Report: report, DatabaseAt: h.data.Add(-time.Minute)})
			return err
		}))
		h.ok(h.run())
		if got := h.now("team/a"); len(got.Findings) != 1 || got.Findings[0].ID != "CVE-9" || !got.DatabaseAt.Equal(h.data) {
			t.Errorf("%+v", got)
		}
	})
}

// What is in memory at once is bounded: a page ends with the bill that reaches 16 MiB.
func TestReevaluationOfLargeBills(t *testing.T) {
	eachBehind(t, func(h *behind) {
		h.large = 8 << 20
		for _, n := range []string{"a", "b", "c"} {
			h.scanned("team/"+n, n, old("CVE-1"))
			h.find[n] = found("CVE-1")
		}
		h.ok(h.run())
		if len(h.asked) != 3 || h.requests != 2 {
			t.Errorf("%q were asked about in %d requests", h.asked, h.requests)
		}
	})
}
