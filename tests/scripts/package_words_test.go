package scripts

import (
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	madeOf "github.com/hallmarkhub/hallmark/tests/bill"
)

// bill FILE PROGRAM writes what a Go program is made of as an SPDX document: what `go version -m` says of it.
func bill(ts *testscript.TestScript, args []string) {
	program := args[1]
	if program == "hallmark" {
		program = ts.Getenv("HALLMARK_BIN")
	}
	document, err := madeOf.Of(program)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), document, 0o600))
}

// indexed PURL waits until the package is found in something, signed or not.
func indexed(ts *testscript.TestScript, args []string) {
	until := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		res, answer := ask(ts, true, "GET", "/api/v1/packages?include=unsigned&purl="+url.QueryEscape(args[0]), "", nil)
		if res.StatusCode == http.StatusOK && len(answer) > len("[]\n") {
			tick.Stop()
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%s is not found: %s %s", args[0], res.Status, answer)
		}
	}
}
