package e2e

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// stuck is a registry that takes requests and never answers. met is closed by the first.
func stuck(t *testing.T) (*scannertest.Registry, <-chan struct{}) {
	t.Helper()
	met, end := make(chan struct{}), make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case <-first:
			close(met)
		default:
		}
		<-end
	}))
	t.Cleanup(func() { close(end); server.Close() })
	return &scannertest.Registry{Server: server, User: "robot", Password: "canary-7f3a91c2"}, met
}

// children are the processes that a process started.
func children(t *testing.T, pid int) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range tasks {
		if b, err := os.ReadFile(name); err == nil {
			all = append(all, strings.Fields(string(b))...)
		}
	}
	return all
}

const image = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// V-13: the image's token is in no environment and no argument, not in the directory of the scan, and in no log.
func TestCanary(t *testing.T) {
	r, met := stuck(t)
	data := t.TempDir()
	a := start(t, r, data, "SCANNER_LIMITS_TIME=5s")
	id := a.ask(r, image)
	<-met
	pids := children(t, a.cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("there are %d children", len(pids))
	}
	var seen strings.Builder
	for _, name := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile("/proc/" + pids[0] + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "environ" && len(b) > 0 {
			t.Errorf("the child's environment is %q", b)
		}
		seen.Write(b)
	}
	err := filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		seen.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	status, b := a.wait(id, spec.ReportHarbor, "")
	if status != http.StatusInternalServerError || !strings.Contains(string(b), "(time)") {
		t.Fatalf("%d: %s", status, b)
	}
	seen.Write(b)
	// A registry that gives the credential back.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, `{"errors":[{"code":"DENIED","message":"`+strings.ReplaceAll(req.Header.Get("Authorization"), `"`, "")+` canary-7f3a91c2"}]}`, http.StatusUnauthorized)
	}))
	defer echo.Close()
	a.stop()
	two := &scannertest.Registry{Server: echo, User: "robot", Password: "canary-7f3a91c2"}
	b2 := start(t, two, data)
	seen.WriteString(b2.failed(two, image))
	b2.stop()
	seen.WriteString(a.log.String() + b2.log.String())
	for _, secret := range []string{"canary-7f3a91c2", "cm9ib3Q6Y2FuYXJ5", "canary-a0c4b611", "canary-11d9"} { // the second is robot:canary in base64
		if _, after, found := strings.Cut(seen.String(), secret); found {
			t.Errorf("%s was seen before %.200q", secret, after)
		}
	}
}

// F-14: a killed adapter takes its child along; the next one sweeps, and knows nothing of the scan.
func TestKill(t *testing.T) {
	r, met := stuck(t)
	data := t.TempDir()
	a := start(t, r, data)
	id := a.ask(r, image)
	<-met
	pids := children(t, a.cmd.Process.Pid)
	a.kill()
	gone := time.NewTicker(20 * time.Millisecond)
	defer gone.Stop()
	for _, pid := range pids {
		for {
			if b, err := os.ReadFile("/proc/" + pid + "/cmdline"); err != nil || len(b) == 0 {
				break // it has ended, and may wait for somebody to notice
			}
			<-gone.C
		}
	}
	again := start(t, r, data)
	if status, _ := again.wait(id, spec.ReportHarbor, ""); status != http.StatusNotFound {
		t.Fatalf("the scan of before is answered with %d", status)
	}
	left, err := os.ReadDir(filepath.Join(data, "scans"))
	if err != nil || len(left) != 0 {
		t.Fatalf("left: %v, %v", left, err)
	}
}

// A database that is damaged does not take the place of the one that is there, and a second adapter does not start.
func TestDatabaseIsChecked(t *testing.T) {
	r := scannertest.NewRegistry(t)
	data := t.TempDir()
	a := start(t, r, data)
	_, before := a.do(http.MethodGet, "/api/v1/database", "", nil)
	bad := damaged(t)
	resp, b := a.do(http.MethodPut, "/api/v1/database/db", "application/gzip", bytes.NewReader(bad))
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(b), "cannot be used") {
		t.Fatalf("%s: %s", resp.Status, b)
	}
	if _, after := a.do(http.MethodGet, "/api/v1/database", "", nil); string(after) != string(before) {
		t.Fatalf("%s, was %s", after, before)
	}
	if got := a.scanned(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String()); got.Severity != spec.Critical {
		t.Fatal(got)
	}
	good, err := os.ReadFile(tools(t).database)
	if err != nil {
		t.Fatal(err)
	}
	if resp, b := a.do(http.MethodPut, "/api/v1/database/db", "application/gzip", bytes.NewReader(good)); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, b)
	}
	if got := a.scanned(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String()); got.Severity != spec.Critical {
		t.Fatal(got)
	}
	out, err := command(t, []string{"SCANNER_DATA=" + data, "SCANNER_REGISTRIES=" + r.URL}, "database", "show")
	if err == nil || !strings.Contains(out, "in use by another scanner-adapter") {
		t.Fatalf("%s, %v", out, err)
	}
}

// Without a database a scan fails and says what to do.
func TestNoDatabase(t *testing.T) {
	r := scannertest.NewRegistry(t)
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "database"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := start(t, r, data)
	if resp, _ := a.do(http.MethodGet, "/probe/ready", "", nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("it is ready: %s", resp.Status)
	}
	if why := a.failed(r, image); !strings.Contains(why, "no vulnerability database yet") || !strings.Contains(why, "database import FILE") {
		t.Fatal(why)
	}
}
