package main

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/work"
)

// wireReevaluation has images looked at again when their scanner has newer data. What it returns asks for that.
func (h *hub) wireReevaluation(o *opened, scanners *scan.Service) *work.Waker {
	h.newerData = scan.NewReevaluator(scan.ReevaluateOptions{Store: h.store, Client: scanners.Client, SBOM: h.packages.Document,
		RescansPerHour: o.cfg.Int("limits.rescans_per_hour"), Log: o.log})
	h.jobs.Register(work.KindReevaluate, work.Reevaluate(func(ctx context.Context, t *jobservice.Task, scanner string) error {
		return h.newerData.Scanner(ctx, scanner, scan.Job{Write: t.Write, Count: t.Count})
	}))
	return work.NewReevaluateWaker(h.store, h.jobs, o.log)
}
