package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
)

// How much is done at once: one statement reads a page, one request has its bills matched, one transaction writes what came of
// it. A page ends with the bill that makes it as large as billBytes.
const (
	pageSize  = 50
	billBytes = 16 << 20
)

// ReevaluateOptions is what a Reevaluator needs.
type ReevaluateOptions struct {
	Store *store.Store
	// Client is a client of a scanner as it is registered now, which is closed.
	Client func(ctx context.Context, scanner string) (*Client, *store.Scanner, error)
	// SBOM is the CycloneDX document that the hub's scanner made of an image.
	SBOM func(ctx context.Context, repository, image string) (document []byte, found bool, err error)
	// RescansPerHour is how many images are scanned again because new data cannot be matched with what is stored of them.
	RescansPerHour int
	Log            *slog.Logger
}

// Reevaluator says of images what newer vulnerability data find in them, from their stored bills of materials.
type Reevaluator struct {
	opt    ReevaluateOptions
	images *prometheus.CounterVec
	left   *prometheus.GaugeVec
}

// What became of an image.
const (
	unchanged  = "unchanged"
	changed    = "changed"
	owedScan   = "rescan" // nothing but a scan says what newer data find in it
	considered = "skipped"
)

// NewReevaluator makes a Reevaluator.
func NewReevaluator(opt ReevaluateOptions) *Reevaluator {
	return &Reevaluator{opt: opt,
		images: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hallmark_reevaluated_images_total",
			Help: "Images for which newer vulnerability data were considered, by what came of it."}, []string{"result"}),
		left: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hallmark_reevaluation_left",
			Help: "Images for which this process has still to consider newer vulnerability data."}, []string{"scanner"}),
	}
}

// Describe is that of prometheus.Collector.
func (e *Reevaluator) Describe(out chan<- *prometheus.Desc) {
	e.images.Describe(out)
	e.left.Describe(out)
}

// Collect is that of prometheus.Collector.
func (e *Reevaluator) Collect(out chan<- prometheus.Metric) {
	e.images.Collect(out)
	e.left.Collect(out)
}

// Job is the job that a re-evaluation is done in: it writes nothing any more once another worker has it.
type Job struct {
	Write func(ctx context.Context, f func(tx *db.Tx) error) error
	Count func(done, total int64, message string)
}

// reevaluation is one run over the images of one scanner.
type reevaluation struct {
	*Reevaluator
	client *Client
	name   string
	data   time.Time // how new the data are
	able   bool      // the scanner matches bills of materials
	write  func(ctx context.Context, f func(tx *db.Tx) error) error
	began  time.Time
	owed   int // scans, until now
}

// Scanner considers the data that a scanner has now for all images that it scanned. Interrupted, it goes on with those that
// are left.
func (e *Reevaluator) Scanner(ctx context.Context, name string, job Job) error {
	client, v, err := e.opt.Client(ctx, name)
	if core.CodeOf(err) == core.CodeNotFound {
		return nil // it is registered no more
	}
	if err != nil {
		return err
	}
	defer client.Close()
	if !v.Ready() || v.Health.DatabaseAt.IsZero() {
		return nil
	}
	m, err := client.Metadata(ctx)
	if err != nil {
		return err
	}
	r := &reevaluation{Reevaluator: e, client: client, name: name, data: v.Health.DatabaseAt, able: m.Offers(capSBOMs), write: job.Write, began: e.opt.Store.Now()}
	total, err := e.opt.Store.OldScanCount(ctx, name, r.data)
	if err != nil {
		return err
	}
	left := e.left.WithLabelValues(name)
	defer left.Set(0)
	for done := int64(0); ; {
		left.Set(float64(max(0, total-done)))
		page, err := e.opt.Store.OldScans(ctx, name, r.data, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		n, err := r.page(ctx, page)
		if err != nil {
			return err
		}
		done += int64(n)
		job.Count(done, max(total, done), fmt.Sprintf("newer data were considered for %d images", done))
	}
}

// outcome is what is to be done with an image of a page; "" is nothing yet.
type outcome struct {
	result string
	report int64
	at     time.Time // of the data it was matched with
	fresh  []core.Finding
}

// page considers the data for a page of images, and says for how many.
func (r *reevaluation) page(ctx context.Context, page []store.OldScan) (done int, err error) {
	out := make([]outcome, len(page))
	var bills []Bill
	of := map[string][]int{} // images with a bill
	for i, size := 0, 0; i < len(page) && size < billBytes; i++ {
		bill, result, err := r.look(ctx, &page[i])
		if err != nil {
			return 0, err
		}
		if out[i].result = result; bill == nil {
			continue
		}
		if of[bill.ID] == nil {
			bills = append(bills, *bill)
			size += len(bill.Document)
		}
		of[bill.ID] = append(of[bill.ID], i)
	}
	all, err := r.ask(ctx, bills)
	if err != nil && (len(all) == 0 || ctx.Err() != nil) {
		return 0, err // else the rest is asked about again with the next page
	}
	var told []core.Vulnerability
	for _, m := range all {
		told = append(told, m.Vulnerabilities...)
	}
	if err := r.opt.Store.SaveVulnerabilities(ctx, told); err != nil {
		return 0, err
	}
	for _, m := range all {
		for _, i := range of[bills[m.Bill].ID] {
			if out[i], err = r.report(ctx, &page[i], m); err != nil {
				return 0, err
			}
		}
	}
	return r.apply(ctx, page, out)
}

// look says what is to be done with an image: its bill is to be matched, or what else.
func (r *reevaluation) look(ctx context.Context, o *store.OldScan) (*Bill, string, error) {
	switch {
	case o.Report == 0, !o.Scan.Matched, !o.Scan.DatabaseAt.Before(r.data):
		return nil, considered, nil // there is nothing to renew, or it is new
	case !r.able, o.Scan.Incomplete != "":
		return nil, owedScan, nil
	}
	document := r.document(ctx, o)
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	if document == nil {
		return nil, owedScan, nil
	}
	sum := sha256.Sum256(document)
	return &Bill{ID: hex.EncodeToString(sum[:]), Document: document}, "", nil
}

// document is the bill of materials of an image, nil if there is none that can be read.
func (r *reevaluation) document(ctx context.Context, o *store.OldScan) []byte {
	document, found, err := r.opt.SBOM(ctx, o.Repository, o.Digest)
	if err != nil {
		r.opt.Log.WarnContext(ctx, "a bill of materials cannot be read: the image is scanned again", "repository", o.Repository, "digest", o.Digest, "error", err)
	}
	if err != nil || !found {
		return nil
	}
	return document
}

// ask has bills matched in one request, and returns the answers that came. If nothing came of it, the first is tried alone: it may be what the scanner fails at,
// and then it is that alone that fails.
func (r *reevaluation) ask(ctx context.Context, bills []Bill) (all []*Matched, err error) {
	if len(bills) == 0 {
		return nil, nil
	}
	err = r.client.Match(ctx, bills, func(m *Matched) { all = append(all, m) })
	if err == nil || len(all) > 0 || ctx.Err() != nil {
		return all, err
	}
	if len(bills) > 1 {
		if all, alone := r.ask(ctx, bills[:1]); alone == nil {
			return all, err
		}
		return nil, err
	}
	var said *Error
	if !errors.As(err, &said) {
		return nil, err
	}
	if !said.Final {
		if errors.Is(err, errRefused) {
			return nil, err // such as that it is busy
		}
		if _, away := r.client.Metadata(ctx); away != nil {
			return nil, err
		}
	}
	return []*Matched{{Problem: said.Reason}}, nil
}

// report is what a match says of an image. What the match does not look at stays as it was.
func (r *reevaluation) report(ctx context.Context, o *store.OldScan, m *Matched) (out outcome, err error) {
	if m.Problem != "" || m.Incomplete != "" || m.DatabaseAt.Before(r.data) {
		r.opt.Log.InfoContext(ctx, "a bill of materials does not say what newer data find: the image is scanned again", "repository", o.Repository,
			"digest", o.Digest, "problem", m.Problem, "incomplete", m.Incomplete, "data", m.DatabaseAt)
		return outcome{result: owedScan}, nil
	}
	now := o.Scan
	now.Findings = append([]core.Finding(nil), m.Findings...) // which are put in order
	out = outcome{result: unchanged, at: m.DatabaseAt}
	if out.report, err = r.opt.Store.SaveReport(ctx, &now, nil); err != nil {
		return out, err
	}
	if out.report != o.Report {
		out.result, out.fresh = changed, news(o.Scan.Findings, now.Findings)
	}
	return out, nil
}

// news are findings that there were none of before: a vulnerability in a package, of whatever version.
func news(before, now []core.Finding) (fresh []core.Finding) {
	type key struct{ id, pkg string }
	known := make(map[key]bool, len(before))
	for i := range before {
		known[key{before[i].ID, before[i].Package}] = true
	}
	for i := range now {
		k := key{now[i].ID, now[i].Package}
		if !known[k] {
			known[k] = true
			fresh = append(fresh, now[i])
		}
	}
	return fresh
}

// apply writes what came of a page, in one transaction.
func (r *reevaluation) apply(ctx context.Context, page []store.OldScan, out []outcome) (done int, err error) {
	var counts map[string]int
	var owed int
	err = r.write(ctx, func(tx *db.Tx) error {
		counts, owed = map[string]int{}, 0
		touched := map[string]bool{}
		for i := range page {
			o := &page[i]
			switch out[i].result {
			case "":
				continue
			case considered:
				if err := store.ConsiderScan(tx, o, r.data); err != nil {
					return err
				}
			case owedScan:
				pace := time.Hour / time.Duration(r.opt.RescansPerHour)
				yes, err := store.OweRescan(tx, o, r.data, r.began.Add(time.Duration(r.owed+owed)*pace))
				if err != nil {
					return err
				}
				if yes {
					owed++
				}
			default:
				renewed, err := r.renew(tx, o, &out[i])
				if err != nil {
					return err
				}
				touched[o.Repository] = touched[o.Repository] || renewed
			}
			counts[out[i].result]++
		}
		for repository, yes := range touched {
			if yes {
				tx.Changed(store.ChangeEvidence, repository)
			}
		}
		if owed > 0 {
			tx.Changed(store.ChangeScan, "")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.owed += owed
	for result, n := range counts {
		r.images.WithLabelValues(result).Add(float64(n))
		done += n
	}
	return done, nil
}

// renew writes what a match found, and tells what is new in it.
func (r *reevaluation) renew(tx *db.Tx, o *store.OldScan, out *outcome) (renewed bool, err error) {
	renewed, err = store.RenewScan(tx, o, out.at, out.report)
	if err != nil || !renewed || len(out.fresh) == 0 {
		return renewed, err
	}
	wanted, err := store.Subscribed(tx, o.ProjectID)
	if err != nil || !wanted {
		return renewed, err
	}
	tags, err := store.TagsOf(tx, o.RepositoryID, o.Digest, event.MaxTags)
	if err != nil {
		return renewed, err
	}
	data := event.Vulnerable{Repository: o.Repository, Digest: o.Digest, Tags: tags, Severity: string(out.fresh[0].Severity)}
	for i, f := range out.fresh {
		if i == event.MaxNew {
			data.More = len(out.fresh) - i
			break
		}
		data.New = append(data.New, event.NewFound{ID: f.ID, Severity: string(f.Severity), Package: f.Package, Version: f.Version, Fixed: f.Fixed})
	}
	return renewed, event.Write(tx, event.Event{Type: event.ArtifactVulnerable, Project: o.ProjectID, Subject: o.Repository + "@" + o.Digest, Data: data})
}
