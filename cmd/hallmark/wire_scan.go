package main

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/registry"
)

// scanning is what has images scanned. It reads them where no gate stands: what is not trusted yet is scanned too.
func (h *hub) scanning(o *opened, all registry.Registry) *scan.Service {
	return scan.New(scan.Options{Store: h.store, Keyring: h.keyring, Registry: all, RegistryURL: o.base(), Token: h.auth.OneImageToken,
		Limits: scan.Limits{Report: o.cfg.Bytes("limits.scan_report_bytes"), Findings: o.cfg.Int("limits.scan_findings"), Time: o.cfg.Duration("limits.scan_time")},
		SBOMs:  h.packages.Wanted, Found: h.scannedSBOMs, Log: o.log})
}

// scannedSBOMs has kept what a scanner says is in an image.
func (h *hub) scannedSBOMs(ctx context.Context, repository, digest string, docs []scan.SBOM) error {
	all := make([]inventory.Scanned, len(docs))
	for i, d := range docs {
		all[i] = inventory.Scanned{MediaType: d.MediaType, Document: d.Document}
	}
	return h.packages.Scanned(ctx, repository, digest, all)
}

// wireScans says which kinds of jobs have to do with scans, and returns what asks for them.
func (h *hub) wireScans(o *opened) *work.ScanWaker {
	h.jobs.Register(work.KindScan, work.Scan(h.scans, o.cfg.Int("limits.scans_per_scanner")))
	h.jobs.Register(work.KindScanImages, work.ScanImages(h.scans, h.db, func(ctx context.Context, job string) error {
		_, err := h.jobs.Cancel(ctx, job)
		return err
	}))
	h.jobs.Register(work.KindPlanScans, work.PlanScans(h.scans, h.jobs))
	h.jobs.Cron(jobservice.Schedule{Name: work.KindScanImages, Kind: work.KindScanImages, Spec: o.cfg.String("scan_schedule"), FromSetting: true})
	return work.NewScanWaker(h.store, h.jobs, h.scans, o.log)
}

// scanImage makes the job that scans an image which somebody demands.
func (h *hub) scanImage(tx *db.Tx, project, repository, digest, scanner string) (string, error) {
	return h.jobs.Enqueue(tx, work.ScanJob(project, work.ScanPayload{Repository: repository, Digest: digest, Scanner: scanner, Demanded: true}))
}

// scanImages makes the job that scans images of a repository, those of a project, or all.
func (h *hub) scanImages(tx *db.Tx, project, repository string, digests []string) (string, error) {
	return h.jobs.Enqueue(tx, work.ScanImagesJob(work.ScanImagesPayload{ProjectID: project, Repository: repository, Digests: digests}))
}
