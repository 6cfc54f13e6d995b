package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/trivy"
)

// maxJob bounds what a child is told.
const maxJob = 1 << 20

// Run is the whole life of a child. What is wrong with the image is a result; an error is a fault of ours.
func Run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	sandbox.EndAtLimits()
	var j job.Job
	told := json.NewDecoder(io.LimitReader(stdin, maxJob))
	if err := told.Decode(&j); err != nil {
		return fmt.Errorf("the job cannot be read: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := settle(dir, j); err != nil {
		return err
	}
	answer := json.NewEncoder(stdout)
	if j.Kind == job.Match {
		return match(ctx, dir, j, io.MultiReader(told.Buffered(), stdin), answer)
	}
	r, err := work(ctx, dir, j)
	if err != nil {
		r = &job.Result{Failure: failure(err)}
	}
	return answer.Encode(r)
}

// settle keeps everything that Trivy writes in the directory of this job. It is this process alone that changes its
// environment; what /proc shows of it stays empty.
func settle(dir string, j job.Job) error {
	if j.Memory > 0 {
		debug.SetMemoryLimit(j.Memory / 10 * 8)
	}
	if j.CPUs > 0 {
		runtime.GOMAXPROCS(j.CPUs)
	}
	temp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	return errors.Join(os.Setenv("TMPDIR", temp), os.Setenv("HOME", temp))
}

func work(ctx context.Context, dir string, j job.Job) (*job.Result, error) {
	switch j.Kind {
	case job.Check:
		if err := sandbox.Seal(dir); err != nil {
			return nil, err
		}
		if err := trivy.Check(j.Database); err != nil {
			return nil, &image.Error{Code: "database", Message: "The database cannot be used: " + err.Error()}
		}
		return &job.Result{}, nil
	case job.Scan:
		return scan(ctx, dir, j)
	}
	return nil, fmt.Errorf("no job is called %q", j.Kind)
}

func scan(ctx context.Context, dir string, j job.Job) (*job.Result, error) {
	d, err := registry.ParseDigest(j.Digest)
	if err != nil {
		return nil, err
	}
	layers := filepath.Join(dir, "layers")
	if err := os.Mkdir(layers, 0o700); err != nil {
		return nil, err
	}
	img, err := image.Fetch(ctx, j.Source, j.Repository, d, layers, j.Limits)
	if err != nil {
		return nil, err
	}
	if err := sandbox.Seal(dir); err != nil {
		return nil, err
	}
	if err := img.Measure(ctx, j.Limits, j.CPUs); err != nil {
		return nil, err
	}
	found, err := trivy.Scan(ctx, img, trivy.Wanted{
		Vulnerabilities: j.Vulnerabilities, Extras: j.Extras, SPDX: j.SPDX, CycloneDX: j.CycloneDX,
		Database: j.Database, Version: j.Version, Parallel: max(j.CPUs, 1),
	})
	if err != nil {
		return nil, err
	}
	return &job.Result{Report: found.Report, SPDX: found.SPDX, CycloneDX: found.CycloneDX, Incomplete: found.Incomplete}, nil
}
