package service_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/service"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// matchChild is the child that is given SBOMs: what each comes to is its name.
func matchChild(in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var d struct{ N string }
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil || d.N == "" {
			continue // the end of the job's own line
		}
		switch d.N {
		case "crash":
			os.Exit(1)
		case "hang":
			_, _ = io.Copy(io.Discard, in)
			select {}
		case "garbage":
			fmt.Println("<html>")
		case "much":
			fmt.Printf("{\"Report\":%q}\n", strings.Repeat("x", 1<<21))
		case "bad":
			fmt.Println(`{"Failure":{"Code":"hostile","Message":"It is bad."}}`)
		case "liar":
			fmt.Println(`{"Report":{"SchemaVersion":2,"ArtifactName":"another"}}`)
		default:
			fmt.Printf(`{"Report":{"SchemaVersion":2,"ArtifactName":"sbom","Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-%s","PkgName":"a","Severity":"LOW"}]}]}}`+"\n", d.N)
		}
	}
}

func sbomLimits(o *service.Options) {
	o.SBOMs = service.SBOMLimits{Documents: 20, Bytes: 1 << 10, Components: 10, Time: 5 * time.Second}
}

func named(n string) string { return fmt.Sprintf(`{"id":"d-%s","sbom":{"n":%q}}`+"\n", n, n) }

// matched sends documents and returns what each came to: the first finding, or why there is none.
func (f *fixture) matched(body string) (all []string) {
	f.t.Helper()
	resp, answer := f.call(http.MethodPost, "/api/v1/sboms", body, "Content-Type", spec.MediaSBOMs)
	if resp.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %s", resp.Status, answer)
	}
	for line := range strings.Lines(answer) {
		var m spec.Matched
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.DatabaseAt == nil || m.Findings == nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		said := m.Error
		if said == "" {
			said = m.Findings[0].ID
		}
		all = append(all, m.ID+" "+said)
	}
	return all
}

// A child that fails over a document fails over that alone.
func TestSBOMs(t *testing.T) {
	f := start(t, sbomLimits)
	for bad, words := range map[string]string{"crash": "(crash)", "garbage": "(crash)", "much": "limits.report", "bad": "It is bad. (hostile)", "liar": "not about the SBOM"} {
		all := f.matched(named("1") + named(bad) + named("2"))
		if len(all) != 3 || all[0] != "d-1 CVE-1" || !strings.HasPrefix(all[1], "d-"+bad+" ") || !strings.Contains(all[1], words) || all[2] != "d-2 CVE-2" {
			t.Errorf("%s: %q", bad, all)
		}
	}
	if all := f.matched(""); len(all) != 0 {
		t.Errorf("nothing is answered with %q", all)
	}
}

func TestSBOMThatHangs(t *testing.T) {
	f := start(t, func(o *service.Options) {
		sbomLimits(o)
		o.SBOMs.Time = 200 * time.Millisecond
	})
	all := f.matched(named("hang") + named("1"))
	if len(all) != 2 || !strings.Contains(all[0], "limits.sbom_time") {
		t.Errorf("%q", all)
	}
}

// A child is started again a few times, and then what is left is answered with why.
func TestSBOMsThatCrashAgainAndAgain(t *testing.T) {
	f := start(t, sbomLimits)
	all := f.matched(strings.Repeat(named("crash"), 3) + named("1") + named("crash") + named("2"))
	if len(all) != 6 || all[3] != "d-1 CVE-1" || !strings.Contains(all[5], "(crash)") {
		t.Errorf("%q", all)
	}
}

func TestSBOMLimits(t *testing.T) {
	f := start(t, sbomLimits)
	sized := func(n int) string { // a line whose document has n bytes
		return `{"id":"d","sbom":` + `{"n":"1"` + strings.Repeat(" ", n-9) + "}}\n"
	}
	parts := func(n int) string {
		return `{"id":"d","sbom":{"n":"1","x":[` + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]}}\n"
	}
	deep := func(n int) string {
		return `{"id":"d","sbom":{"n":"1","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}}\n"
	}
	for name, tt := range map[string]struct{ fits, too, words string }{
		"bytes": {sized(1 << 10), sized(1<<10 + 1), "more than 1024 bytes"},
		"line":  {sized(1 << 10), sized(4 << 10), "more than 1024 bytes"},
		"long":  {sized(1 << 10), sized(1 << 20), "more than 1024 bytes"},
		"parts": {parts(197), parts(198), "more parts"},
		"depth": {deep(98), deep(99), "levels deep"},
	} {
		all := f.matched(tt.fits + tt.too + named("2"))
		if len(all) != 3 || all[0] != "d CVE-1" || !strings.HasPrefix(all[1], "d ") || !strings.Contains(all[1], tt.words) || all[2] != "d-2 CVE-2" {
			t.Errorf("%s: %q", name, all)
		}
	}
	all := f.matched(strings.Repeat(named("1"), 21))
	if len(all) != 21 || all[19] != "d-1 CVE-1" || !strings.Contains(all[20], "at most 20 SBOMs") {
		t.Errorf("%q", all)
	}
	for _, line := range []string{"\n", "{}\n", `{"id":"","sbom":{}}` + "\n", `{"id":7,"sbom":{}}` + "\n", "null\n", `{"id":"` + strings.Repeat("x", 1025) + `","sbom":{}}` + "\n"} {
		if all := f.matched(line + named("2")); len(all) != 2 || !strings.Contains(all[0], "The line is not") || all[1] != "d-2 CVE-2" {
			t.Errorf("%.30q: %q", line, all)
		}
	}
}

// What ends in the middle of a line does not look as if it were whole.
func TestTruncatedSBOMs(t *testing.T) {
	f := start(t, sbomLimits)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/api/v1/sboms", strings.NewReader(named("1")+`{"id":`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", spec.MediaSBOMs)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("it ended well: %s", b)
	}
}

func TestSBOMsAreRefused(t *testing.T) {
	f := start(t, sbomLimits)
	if resp, _ := f.call(http.MethodPost, "/api/v1/sboms", named("1"), "Content-Type", "application/json"); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Error(resp.Status)
	}
	empty := start(t, func(o *service.Options) {
		sbomLimits(o)
		o.Store = fresh(t)
	})
	if resp, _ := empty.call(http.MethodPost, "/api/v1/sboms", named("1"), "Content-Type", spec.MediaSBOMs); resp.StatusCode != http.StatusServiceUnavailable {
		t.Error(resp.Status)
	}
	// A stream whose first document was answered has its place until it ends.
	in, out := io.Pipe()
	defer out.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/api/v1/sboms", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", spec.MediaSBOMs)
	go func() { _, _ = io.WriteString(out, named("1")) }()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, "CVE-1") {
		t.Fatalf("%q, %v", line, err)
	}
	if resp, _ := f.call(http.MethodPost, "/api/v1/sboms", named("1"), "Content-Type", spec.MediaSBOMs); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Error(resp.Status)
	}
}
