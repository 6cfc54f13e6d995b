package worker_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/worker"
)

// The test binary is its own child.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "child-") {
		in, _ := io.ReadAll(os.Stdin)
		fmt.Print(answers(string(in))[os.Args[1]])
		return
	}
	os.Exit(m.Run())
}

// answers are what children say.
func answers(input string) map[string]string {
	return map[string]string{
		"child-good":     `{"Report":{"a":1}}`,
		"child-silent":   "",
		"child-garbage":  "<html>",
		"child-twice":    `{"Report":{}}{"Report":{}}`,
		"child-more":     `{"Report":{},"Trust":"me"}`,
		"child-wordless": `{"Failure":{"Code":"","Message":""}}`,
		"child-refused":  `{"Failure":{"Code":"limit","Message":"too much"}}`,
		"child-leak":     `{"Failure":{"Code":"fetch","Message":"it said\nBasic cm9ib3Q6Y2FuYXJ5LTEyMw== robot:canary-123 canary-123"}}`,
		"child-long":     `{"Failure":{"Code":"fetch","Message":"` + strings.Repeat("x", 5000) + `"}}`,
	}
}

func run(t *testing.T, what string) (*job.Result, error) {
	t.Helper()
	box, err := sandbox.NewBox("")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker.Worker{Box: box, Path: self, Args: []string{what}, Dir: filepath.Join(t.TempDir(), "scans"),
		Limits: sandbox.Limits{Time: 20 * time.Second, Processor: 20 * time.Second, CPUs: 1, Memory: 1 << 30, Disk: 1 << 20, Output: 1 << 20}}
	if err := w.Sweep(); err != nil {
		t.Fatal(err)
	}
	r, err := w.Run(t.Context(), job.Job{Source: image.Source{Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("robot:canary-123"))}})
	if left, e := os.ReadDir(w.Dir); e != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, e)
	}
	return r, err
}

func TestAnswerIsRead(t *testing.T) {
	r, err := run(t, "child-good")
	if err != nil || string(r.Report) != `{"a":1}` {
		t.Fatalf("%+v, %v", r, err)
	}
}

// A scanner that lies or babbles is a scan that failed.
func TestLyingChildren(t *testing.T) {
	for what, words := range map[string]string{
		"child-silent": "cannot be read", "child-garbage": "cannot be read", "child-twice": "cannot be read", "child-more": "cannot be read",
		"child-wordless": "does not say why", "child-refused": "too much",
	} {
		_, err := run(t, what)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// V-13: the credential of the image is in no reason, whatever the child was told by whom.
func TestReasonsAreCleaned(t *testing.T) {
	_, err := run(t, "child-leak")
	var refused *image.Error
	if !errors.As(err, &refused) || refused.Code != "fetch" {
		t.Fatal(err)
	}
	if refused.Message != "it said Basic [removed] [removed] [removed]" {
		t.Fatalf("the reason is %q", refused.Message)
	}
	if _, err = run(t, "child-long"); len(err.Error()) > 1100 {
		t.Fatalf("a reason of %d bytes", len(err.Error()))
	}
}

func TestSweepRemovesWhatWasLeft(t *testing.T) {
	w := &worker.Worker{Dir: filepath.Join(t.TempDir(), "scans")}
	if err := os.MkdirAll(filepath.Join(w.Dir, "job-1", "layers"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(w.Dir); err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
}
