package api

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/registry"
)

// ScanJobs make the jobs that scan, in a transaction, and return their ids.
type ScanJobs struct {
	Image  func(tx *db.Tx, project, repository, digest, scanner string) (string, error)
	Images func(tx *db.Tx, project, repository string, digests []string) (string, error)
}

// maxScanned bounds the images of an index that are scanned: as many as the payload of a job has room for.
const maxScanned = 800

// minScanPeriod is how often a project is scanned again at most.
const minScanPeriod = time.Hour

// CheckScanSchedule refuses what is no schedule by which images are scanned again; none is one.
func CheckScanSchedule(spec string, now time.Time) error {
	if spec == "" {
		return nil
	}
	first, err := jobservice.Next(spec, now)
	if err != nil {
		return core.Invalid("/scan_schedule", "%q is no schedule, such as 30 3 * * 0 (minute, hour, day, month, day of the week) or @weekly", spec)
	}
	if second, err := jobservice.Next(spec, first); err == nil && second.Sub(first) < minScanPeriod {
		return core.Invalid("/scan_schedule", "all images are scanned again once an hour at most: @hourly, or less often")
	}
	return nil
}

// demanded makes a job that somebody asked for, and notes who.
func (a *API) demanded(ctx context.Context, project, object string, enqueue func(tx *db.Tx) (string, error)) (*jobservice.Status, error) {
	var id string
	err := a.store.DB().Write(ctx, func(tx *db.Tx) (err error) {
		if id, err = enqueue(tx); err != nil {
			return err
		}
		return store.Audit(tx, "scan.demand", project, object, "")
	})
	if err != nil {
		return nil, err
	}
	return jobservice.Get(ctx, a.store.DB(), id)
}

// ScanArtifact has an image scanned, or each image of an index.
func (a *API) ScanArtifact(ctx context.Context, r ScanArtifactRequestObject) (ScanArtifactResponseObject, error) {
	c := callOf(ctx)
	scanner, found, err := a.store.ScannerFor(ctx, c.project().Name)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, core.Errorf(core.CodeConflict, "there is no scanner yet: an administrator makes one with: hallmark create scanner NAME --url https://... --default")
	}
	digests, err := a.scannable(ctx, c, r.Repository, r.Reference)
	if err != nil {
		return nil, err
	}
	project := c.project().ID
	j, err := a.demanded(ctx, project, c.repository+"@"+digests[0], func(tx *db.Tx) (string, error) {
		if len(digests) == 1 {
			return a.scanJobs.Image(tx, project, c.repository, digests[0], scanner.Name)
		}
		return a.scanJobs.Images(tx, project, c.repository, digests)
	})
	if err != nil {
		return nil, err
	}
	return ScanArtifact202JSONResponse{Body: showJob(j), Headers: ScanArtifact202ResponseHeaders{Location: a.scanLocation(c, j.ID)}}, nil
}

func (a *API) scanLocation(c *call, job string) string {
	return a.location("projects", c.project().Name, "scans", job)
}

// scannable are the digests of the images that something is: of an image its own, of an index those of its images.
func (a *API) scannable(ctx context.Context, c *call, path, reference string) ([]string, error) {
	repository := c.repository
	at, err := a.store.Artifact(ctx, c.project(), path, reference)
	if err != nil {
		return nil, err
	}
	m, err := a.toScan(ctx, repository, at.Digest)
	if err != nil {
		return nil, err
	}
	if _, err := scan.Image(m.MediaType, m.Payload); err == nil {
		return []string{at.Digest}, nil
	}
	parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{Payload: len(m.Payload)})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, child := range parsed.Children() {
		if len(all) == maxScanned {
			break
		}
		m, err := a.toScan(ctx, repository, string(child.Digest))
		if core.CodeOf(err) == core.CodeNotFound {
			continue // an index may name what is not there
		}
		if err != nil {
			return nil, err
		}
		if _, err := scan.Image(m.MediaType, m.Payload); err == nil {
			all = append(all, string(child.Digest))
		}
	}
	if len(all) == 0 {
		return nil, core.Errorf(core.CodeConflict, "this is no image, and none of an index: there is nothing to be scanned")
	}
	return all, nil
}

// toScan reads a manifest as the hub itself does: what the gate refuses can be scanned all the same, by whoever may have it scanned.
func (a *API) toScan(ctx context.Context, repository, d string) (*registry.Manifest, error) {
	m, err := a.scans.Manifest(ctx, repository, digest.Digest(d))
	if code := registry.CodeOf(err); code == registry.CodeManifestUnknown || code == registry.CodeNameUnknown {
		return nil, core.Errorf(core.CodeNotFound, "there is no such artifact")
	}
	return m, err
}

// ScanProject has all images of a project scanned again.
func (a *API) ScanProject(ctx context.Context, _ ScanProjectRequestObject) (ScanProjectResponseObject, error) {
	c := callOf(ctx)
	j, err := a.demanded(ctx, c.project().ID, c.project().Name, func(tx *db.Tx) (string, error) {
		return a.scanJobs.Images(tx, c.project().ID, "", nil)
	})
	if err != nil {
		return nil, err
	}
	return ScanProject202JSONResponse{Body: showJob(j), Headers: ScanProject202ResponseHeaders{Location: a.scanLocation(c, j.ID)}}, nil
}

// ScanAll has all images scanned again.
func (a *API) ScanAll(ctx context.Context, _ ScanAllRequestObject) (ScanAllResponseObject, error) {
	j, err := a.demanded(ctx, "", "all", func(tx *db.Tx) (string, error) { return a.scanJobs.Images(tx, "", "", nil) })
	if err != nil {
		return nil, err
	}
	return ScanAll202JSONResponse{Body: showJob(j), Headers: ScanAll202ResponseHeaders{Location: a.location("jobs", j.ID)}}, nil
}

// scanJob is a job that scans in the project of a request. Others are as if they were not there.
func (a *API) scanJob(ctx context.Context, id string) (*jobservice.Status, error) {
	j, err := jobservice.Get(ctx, a.store.DB(), id)
	if err != nil {
		return nil, err
	}
	if j.Project != callOf(ctx).project().Name || j.Kind != "scan" && j.Kind != "scan-images" {
		return nil, core.Errorf(core.CodeNotFound, "there is no scan %s in this project", id)
	}
	return j, nil
}

// GetScanJob shows how far a scan is.
func (a *API) GetScanJob(ctx context.Context, r GetScanJobRequestObject) (GetScanJobResponseObject, error) {
	j, err := a.scanJob(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return GetScanJob200JSONResponse(showJob(j)), nil
}

// CancelScanJob stops a scan.
func (a *API) CancelScanJob(ctx context.Context, r CancelScanJobRequestObject) (CancelScanJobResponseObject, error) {
	if _, err := a.scanJob(ctx, r.ID); err != nil {
		return nil, err
	}
	j, err := a.jobs.Cancel(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return CancelScanJob202JSONResponse(showJob(j)), nil
}
