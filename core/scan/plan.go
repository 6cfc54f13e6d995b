package scan

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Planning says how jobs are made, for whoever plans.
type Planning struct {
	// Scan makes the job that scans an image, in the transaction.
	Scan func(tx *db.Tx, scanner string, o store.OwedScan) (job string, err error)
	// Again makes the job that scans a project again, in the transaction.
	Again func(tx *db.Tx, p *core.Project) error
	// Next is when a schedule is due after a time.
	Next func(spec string, after time.Time) (time.Time, error)
}

const (
	// plannedMost is how many jobs a scanner has at once; the rest waits as rows, which cost less and can be chosen from.
	plannedMost = 500
	planBlock   = 100
)

// Plan makes jobs for what is due: images that are owed a scan, as far as the scanner of their project answers, and schedules. It
// tells how many.
func (s *Service) Plan(ctx context.Context, p Planning) (n int, err error) {
	if err := s.store.SettleOwedScans(ctx); err != nil {
		return 0, err
	}
	if n, err = s.planSchedules(ctx, p); err != nil {
		return n, err
	}
	all, _, err := s.store.Scanners(ctx, "", scannersMost)
	if err != nil {
		return n, err
	}
	for _, v := range all {
		if !v.Ready() {
			continue
		}
		made, err := s.planScanner(ctx, v.Name, p)
		if n += made; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *Service) planScanner(ctx context.Context, scanner string, p Planning) (made int, err error) {
	busy, err := s.store.ScansUnderWay(ctx, scanner)
	for room := plannedMost - busy; err == nil && room > 0; {
		var all []store.OwedScan
		if all, err = s.store.OwedScans(ctx, scanner, min(room, planBlock)); err != nil || len(all) == 0 {
			return made, err
		}
		n := 0
		err = s.store.DB().Write(ctx, func(tx *db.Tx) error {
			n = 0
			for _, o := range all {
				// What is no image came along with images: attestations, signatures.
				if _, err := Image(o.MediaType, o.Manifest); err != nil {
					if err := store.DropOwedScan(tx, o.Repository, o.Digest); err != nil {
						return err
					}
					continue
				}
				job, err := p.Scan(tx, scanner, o)
				if err != nil {
					return err
				}
				if err := store.TakeOwedScan(tx, o, job); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err == nil {
			made, room = made+n, room-n
		}
	}
	return made, err
}

func (s *Service) planSchedules(ctx context.Context, p Planning) (n int, err error) {
	due, err := s.store.DueScanProjects(ctx, planBlock)
	if err != nil {
		return 0, err
	}
	for _, project := range due {
		next, err := p.Next(project.ScanSchedule, s.store.Now())
		if err != nil { // it was checked when it was saved, by a hub that took it
			s.opt.Log.WarnContext(ctx, "the schedule by which a project is scanned is none", "project", project.Name, "error", err)
			continue
		}
		err = s.store.DB().Write(ctx, func(tx *db.Tx) error {
			due, err := store.MoveScanSchedule(tx, project, next)
			if err != nil || !due {
				return err
			}
			n++
			return p.Again(tx, project)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Batch is what scans many images: those of an index, of a project, or all.
type Batch struct {
	store.ScanBatch
	Tell func(done, total int64) // how far it is
	Stop func(ctx context.Context, job string) error
}

const (
	oweBlock  = 500
	batchLook = 2 * time.Second // how often a batch looks how much is left
	stopTime  = 30 * time.Second
)

// RunBatch owes the images of a batch a scan, and waits until none is left. When ctx ends because of stopped, what it asked for is
// stopped; else it goes on where it was when it is run again.
func (s *Service) RunBatch(ctx context.Context, b Batch, stopped func(context.Context) bool) (total int64, err error) {
	defer func() {
		if ctx.Err() != nil && stopped(ctx) {
			s.stopBatch(context.WithoutCancel(ctx), b)
		}
	}()
	for after := ""; ; {
		next, _, err := s.store.OweScans(ctx, b.ScanBatch, after, oweBlock)
		if err != nil {
			return total, err
		}
		if after = next; after == "" {
			break
		}
	}
	t := time.NewTicker(batchLook)
	defer t.Stop()
	for {
		left, err := s.store.BatchLeft(ctx, b.Job)
		if err != nil {
			return total, err
		}
		total = max(total, left)
		b.Tell(total-left, total)
		if left == 0 {
			return total, nil
		}
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-t.C:
		}
	}
}

func (s *Service) stopBatch(ctx context.Context, b Batch) {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	jobs, err := s.store.DropBatch(ctx, b.Job)
	for _, job := range jobs {
		if err == nil {
			if err = b.Stop(ctx, job); core.CodeOf(err) == core.CodeConflict || core.CodeOf(err) == core.CodeNotFound {
				err = nil // it has ended
			}
		}
	}
	if err != nil {
		s.opt.Log.WarnContext(ctx, "scans that somebody stopped go on", "job", b.Job, "error", err)
	}
}
