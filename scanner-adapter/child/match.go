package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/trivy"
)

// match answers SBOMs, each a line, with results, each a line.
func match(ctx context.Context, dir string, j job.Job, in io.Reader, out *json.Encoder) error {
	if err := sandbox.Seal(dir); err != nil {
		return err
	}
	m, err := trivy.NewMatcher(j.Database, job.SBOM, j.Components)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	debug.SetGCPercent(400) // one document is garbage as soon as the next one is read; the limit of memory holds all the same
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n') // no longer than the parent lets them be
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(line) == 1 {
			continue // the end of the job's own line
		}
		var r job.Result
		if r.Report, r.Incomplete, err = m.Match(ctx, line); err != nil {
			r = job.Result{Failure: failure(err)}
		}
		if err := out.Encode(&r); err != nil {
			return err
		}
	}
}

// failure is an error as the parent is told it.
func failure(err error) *image.Error {
	var refused *image.Error
	if errors.As(err, &refused) {
		return refused
	}
	return &image.Error{Code: "scanner", Message: "The scanner failed: " + err.Error()}
}
