package scripts

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
)

// adapter VARIABLE [KIND] starts a scanner adapter, and sets the variable to its address. It wants the token canary-of-the-adapter,
// reads each image with what it was given for that, and finds CVE-2026-1 in every one; with a KIND it looks for that kind of
// content alone, such as malware, and finds it.
func startAdapter(ts *testscript.TestScript, args []string) {
	opt := scannertest.Options{Vulnerabilities: len(args) == 1, Token: "canary-of-the-adapter", Fetch: true}
	if len(args) == 2 {
		opt.Looked = args[1:]
	}
	a := scannertest.Start(opt)
	ts.Defer(a.Close)
	a.Find("", scannertest.Finding{ID: "CVE-2026-1", Package: "zlib", Version: "1.2", FixVersion: "1.3", Severity: "High"})
	if len(args) == 2 {
		a.Check(scannertest.Check{Kind: args[1], ID: "found-by-a-test", Severity: "Critical"})
	}
	ts.Setenv(args[0], a.URL)
}

// scanned PROJECT SCANNER N waits until that scanner has scanned N images of a project, as the events of its jobs say.
func scanned(ts *testscript.TestScript, args []string) {
	eventually(ts, args[2]+" scans by "+args[1], func() error {
		_, body := ask(ts, true, "GET", "/api/v1/jobs?kind=scan&state=done&target="+args[1]+"&project="+args[0], "", nil)
		var jobs []struct{ Message string }
		if err := json.Unmarshal(body, &jobs); err != nil {
			return err
		}
		if n := strings.Count(string(body), `"state":"done"`) + strings.Count(string(body), `"state": "done"`); fmt.Sprint(n) != args[2] {
			return fmt.Errorf("%d are done: %s", n, body)
		}
		return nil
	})
}
