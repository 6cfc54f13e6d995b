package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// Kinds of jobs that have to do with scans. KindScan scans one image; KindScanImages scans many, and ends when they are done;
// KindPlanScans makes jobs of the first kind for what is owed a scan, and of the second by the schedules of projects. It has no
// payload.
const (
	KindScan       = store.KindScan
	KindScanImages = "scan-images"
	KindPlanScans  = "plan-scans"
)

// ScanPayload says what a job of KindScan scans, and with what.
type ScanPayload struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Scanner    string `json:"scanner"`
	Demanded   bool   `json:"demanded,omitempty"` // by somebody who may wait for it
}

// ScanImagesPayload says what a job of KindScanImages scans: images of a repository, those of a project, or all.
type ScanImagesPayload struct {
	ProjectID  string   `json:"project_id,omitempty"`
	Repository string   `json:"repository,omitempty"`
	Digests    []string `json:"digests,omitempty"`
}

const (
	scanAttempts   = 4
	demandedFirst  = 5 // priority of what somebody waits for
	batchesAtOnce  = 2 // they wait most of the time, each in the place of another job
	batchTime      = 7 * 24 * time.Hour
	scanMargin     = 5 * time.Minute // of a scan for what the hub does itself
	plannedPerPlan = time.Minute     // how often it is looked whether something is due, besides when something changed
)

// ScanJob is the job that scans an image, one at a time for each.
func ScanJob(project string, p ScanPayload) jobservice.Job {
	j := jobservice.Job{Kind: KindScan, Payload: p, UniqueKey: KindScan + ":" + p.Repository + "@" + p.Digest, Project: project, Target: p.Scanner}
	if p.Demanded {
		j.Priority = demandedFirst
	}
	return j
}

// ScanImagesJob is the job that scans many images.
func ScanImagesJob(p ScanImagesPayload) jobservice.Job {
	j := jobservice.Job{Kind: KindScanImages, Payload: p, Project: p.ProjectID}
	if p.Repository == "" {
		j.UniqueKey = KindScanImages + ":" + p.ProjectID
	}
	return j
}

// Scan runs jobs of KindScan, at most so many of each scanner at once.
func Scan(s *scan.Service, perScanner int) jobservice.Spec {
	return jobservice.Spec{MaxPerTarget: perScanner, MaxAttempts: scanAttempts, Timeout: s.Limits().Time + scanMargin,
		Run: func(ctx context.Context, t *jobservice.Task) error {
			var p ScanPayload
			if err := t.Decode(&p); err != nil {
				return err
			}
			try := scan.Try{Job: t.ID(), Kind: KindScan, Fence: t.Fence(), Scanner: p.Scanner, Repository: p.Repository, Digest: p.Digest}
			t.Progress(0, "asked "+p.Scanner)
			out, err := s.Scan(ctx, try)
			if err == nil {
				t.Progress(100, findings(out.Counts))
				return t.Finish(ctx, func(tx *db.Tx) error { return out.Write(tx, true) })
			}
			if ctx.Err() != nil && !overdue(ctx) {
				return err // that it was stopped is no word about the image
			}
			final := scan.Final(err)
			noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), scanMargin/10)
			defer cancel()
			if e := t.Write(noting, func(tx *db.Tx) error { return try.Problem(err).Write(tx, final) }); e != nil {
				return errors.Join(err, e)
			}
			if final {
				return jobservice.Permanent(err)
			}
			return err
		}}
}

// findings says how much was found, in a message of a job.
func findings(n store.ScanCounts) string {
	return fmt.Sprintf("%d critical, %d high, %d medium, %d low, %d other; %d fixable; %d checks", n.Critical, n.High, n.Medium, n.Low, n.Other, n.Fixable, n.Checks)
}

// overdue reports whether the time for a try was over, which is a word about the scanner.
func overdue(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return !errors.Is(cause, jobservice.ErrCancelled) && !errors.Is(cause, jobservice.ErrDraining) && !errors.Is(cause, jobservice.ErrLost)
}

// ScanImages runs jobs of KindScanImages. stop ends a job.
func ScanImages(s *scan.Service, d *db.DB, stop func(ctx context.Context, job string) error) jobservice.Spec {
	return jobservice.Spec{MaxRunning: batchesAtOnce, Timeout: batchTime, Run: func(ctx context.Context, t *jobservice.Task) error {
		var p ScanImagesPayload
		if err := t.Decode(&p); err != nil {
			return err
		}
		status, err := jobservice.Get(ctx, d, t.ID())
		if err != nil {
			return err
		}
		b := scan.Batch{ScanBatch: store.ScanBatch{Job: t.ID(), ProjectID: p.ProjectID, Repository: p.Repository, Digests: p.Digests, Since: status.CreatedAt},
			Tell: func(done, total int64) { t.Count(done, total, "") }, Stop: stop}
		_, err = s.RunBatch(ctx, b, func(ctx context.Context) bool { return errors.Is(context.Cause(ctx), jobservice.ErrCancelled) })
		return err
	}}
}

// PlanScans runs jobs of KindPlanScans.
func PlanScans(s *scan.Service, jobs *jobservice.Runner) jobservice.Spec {
	spec := counted("%d planned", func(ctx context.Context) (int, error) {
		return s.Plan(ctx, scan.Planning{
			Scan: func(tx *db.Tx, scanner string, o store.OwedScan) (string, error) {
				return jobs.Enqueue(tx, ScanJob(o.ProjectID, ScanPayload{Repository: o.Repository, Digest: o.Digest, Scanner: scanner}))
			},
			Again: func(tx *db.Tx, p *core.Project) error {
				_, err := jobs.Enqueue(tx, ScanImagesJob(ScanImagesPayload{ProjectID: p.ID}))
				return err
			},
			Next: jobservice.Next,
		})
	})
	spec.MaxAttempts = 1 // what is owed stays owed, and is planned the next time
	return spec
}

// ScanWaker asks for plans when images are owed a scan, and asks scanners how they are.
type ScanWaker struct {
	store *store.Store
	jobs  *jobservice.Runner
	scans *scan.Service
	log   *slog.Logger
	owed  chan struct{}
}

// NewScanWaker makes a waker. Make it before the database follows other processes (db.DB.Follow).
func NewScanWaker(s *store.Store, jobs *jobservice.Runner, scans *scan.Service, log *slog.Logger) *ScanWaker {
	w := &ScanWaker{store: s, jobs: jobs, scans: scans, log: log, owed: make(chan struct{}, 1)}
	s.DB().Subscribe(func(changes []db.Change) {
		for _, c := range changes {
			if c.Kind == store.ChangeScan || c.Kind == "" {
				select {
				case w.owed <- struct{}{}:
				default:
				}
				return
			}
		}
	})
	return w
}

// Run asks until ctx ends. Scanners are asked beside it: one that hangs keeps nobody waiting.
func (w *ScanWaker) Run(ctx context.Context) {
	ctx = core.WithPrincipal(ctx, core.System())
	plan, check := time.NewTimer(0), time.NewTimer(0)
	defer plan.Stop()
	defer check.Stop()
	checked := make(chan struct{}, 1)
	checking := false
	for {
		select {
		case <-ctx.Done():
			if checking {
				<-checked
			}
			return
		case <-w.owed: // perhaps a scanner that is new
			plan.Reset(gather)
			if !checking {
				check.Reset(0)
			}
		case <-plan.C:
			w.told(ctx, "scans could not be planned", w.plan(ctx))
			plan.Reset(plannedPerPlan)
		case <-check.C:
			checking = true
			go func() {
				w.told(ctx, "scanners could not be asked how they are", w.scans.CheckAll(ctx))
				checked <- struct{}{}
			}()
		case <-checked:
			checking = false
			check.Reset(scan.CheckEvery)
		}
	}
}

func (w *ScanWaker) told(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		w.log.Warn(what, "error", err)
	}
}

func (w *ScanWaker) plan(ctx context.Context) error {
	any, err := w.store.ScansPlannable(ctx)
	if err != nil || !any {
		return err
	}
	return w.store.DB().Write(ctx, func(tx *db.Tx) error {
		_, err := w.jobs.Enqueue(tx, jobservice.Job{Kind: KindPlanScans, UniqueKey: KindPlanScans})
		return err
	})
}
