package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
)

// Worker runs jobs in children.
type Worker struct {
	Box    *sandbox.Box
	Path   string   // the program, which is our own
	Args   []string // what makes it a child
	Dir    string   // where the directories of jobs are
	Limits sandbox.Limits
}

// Sweep makes the directory of jobs and removes what killed ones left in it.
func (w *Worker) Sweep() error {
	if err := os.RemoveAll(w.Dir); err != nil {
		return err
	}
	return os.MkdirAll(w.Dir, 0o700)
}

// Run runs a job. An error is a *sandbox.Failure or an *image.Error: a code, and a sentence for people.
func (w *Worker) Run(ctx context.Context, j job.Job) (*job.Result, error) {
	dir, err := w.makeDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	input, err := w.input(j)
	if err != nil {
		return nil, err
	}
	out, err := w.Box.Run(ctx, sandbox.Command{Path: w.Path, Args: w.Args, Dir: dir, Input: input}, w.Limits)
	if err != nil {
		return nil, err
	}
	r, err := decode(out)
	if err != nil {
		return nil, err
	}
	if r.Failure != nil {
		r.Failure.Message = sentence(r.Failure.Message, j.Source.Authorization)
		return nil, r.Failure
	}
	return r, nil
}

// makeDir makes the directory of one child.
func (w *Worker) makeDir() (string, error) {
	dir, err := os.MkdirTemp(w.Dir, "job-") // 0700
	if err != nil {
		return "", &sandbox.Failure{Code: sandbox.CodeCrash, Message: "There is no directory for the scan: " + err.Error()}
	}
	return filepath.Abs(dir)
}

// input is what a child is told first.
func (w *Worker) input(j job.Job) ([]byte, error) {
	j.Memory, j.CPUs = w.Limits.Memory, w.Limits.CPUs
	return json.Marshal(j)
}

// decode reads the answer of a child, all of it.
func decode(out []byte) (*job.Result, error) {
	var r job.Result
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || d.More() {
		return nil, &sandbox.Failure{Code: sandbox.CodeCrash, Message: "The scanner's answer cannot be read; the image counts as not scanned."}
	}
	if r.Failure != nil && (r.Failure.Code == "" || r.Failure.Message == "") {
		r.Failure = &image.Error{Code: sandbox.CodeCrash, Message: "The scanner failed and does not say why."}
	}
	return &r, nil
}
