package scan

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Try is one try of one job to have an image scanned.
type Try struct {
	Job, Kind          string
	Fence              int64
	Scanner            string
	Repository, Digest string
}

// Outcome is how a scan ended, to be written in the transaction that ends its job.
type Outcome struct {
	store.ScanResult
	Counts store.ScanCounts
}

// Problem is an outcome without a report.
func (t Try) Problem(err error) *Outcome {
	return &Outcome{ScanResult: store.ScanResult{Repository: t.Repository, Digest: t.Digest, Scanner: t.Scanner, Problem: sentence(err)}}
}

// Final reports whether trying again does not mend an error.
func Final(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Final
}

// Scan has an image scanned and saves the report. It counts when the outcome is written.
func (s *Service) Scan(ctx context.Context, t Try) (*Outcome, error) {
	out, err := s.scan(ctx, t)
	result := "done"
	switch {
	case ctx.Err() != nil:
		result = "stopped"
	case Final(err):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	s.scans.WithLabelValues(t.Scanner, result).Inc()
	return out, err
}

func (s *Service) scan(ctx context.Context, t Try) (*Outcome, error) {
	image, err := s.image(ctx, t.Repository, t.Digest)
	if err != nil {
		return nil, err
	}
	owed, err := s.store.ScanOwedAt(ctx, t.Repository, t.Digest)
	if err != nil {
		return nil, err
	}
	facts, err := s.facts(ctx, t.Repository, image.Config)
	if err != nil {
		return nil, err
	}
	c, v, err := s.Client(ctx, t.Scanner)
	if core.CodeOf(err) == core.CodeNotFound {
		return nil, &Error{Reason: sentence(err), Final: true}
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if v.Paused {
		return nil, failed("the scanner %s is paused", v.Name)
	}
	token, err := s.opt.Token(ctx, t.Job, core.OneImage{Kind: t.Kind, Fence: t.Fence, Repository: t.Repository, Digest: t.Digest})
	if err != nil {
		return nil, err
	}
	r := Request{Repository: t.Repository, Digest: t.Digest, MediaType: image.MediaType, RegistryURL: s.opt.RegistryURL, Authorization: "Bearer " + token}
	if v.RegistryURL != "" {
		r.RegistryURL = v.RegistryURL
	}
	if r.RegistryURL == "" {
		return nil, failed("the hub does not know at which address a scanner finds it: set HALLMARK_PUBLIC_URL, or registry_url of the scanner")
	}
	if s.opt.SBOMs != nil {
		r.SBOMs = s.opt.SBOMs(ctx, t.Repository, t.Digest)
	}
	found, err := c.Scan(ctx, r)
	if err != nil {
		return nil, err
	}
	if s.opt.Found != nil && len(found.SBOMs) > 0 {
		if err := s.opt.Found(ctx, t.Repository, t.Digest, found.SBOMs); err != nil {
			return nil, err
		}
	}
	found.Scan.Image = facts
	id, err := s.store.SaveReport(ctx, found.Scan, found.Vulnerabilities)
	if err != nil {
		return nil, err
	}
	return &Outcome{ScanResult: store.ScanResult{Repository: t.Repository, Digest: t.Digest, Scanner: t.Scanner, Report: id,
		DatabaseAt: found.Scan.DatabaseAt, Owed: owed}, Counts: store.Counts(found.Scan)}, nil
}

// told is what the event of a scan says.
type told struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Scanner    string `json:"scanner"`
	Problem    string `json:"problem,omitempty"`
	Critical   int64  `json:"critical"`
	High       int64  `json:"high"`
	Medium     int64  `json:"medium"`
	Low        int64  `json:"low"`
	Other      int64  `json:"other"`
	Fixable    int64  `json:"fixable"`
	Checks     int64  `json:"checks"`
}

// Write writes how a scan ended. last says that it is not tried again: then it is told as an event, and the image is owed none,
// unless it was owed another one since. Of a scanner that was deleted meanwhile nothing is written, as what it found before went with
// it: the image is left to the next one.
func (o *Outcome) Write(tx *db.Tx, last bool) error {
	there, err := store.HoldScanner(tx, o.Scanner)
	if err != nil {
		return err
	}
	if !there {
		return store.ReturnOwedScan(tx, o.Repository, o.Digest)
	}
	found, err := store.SetScan(tx, o.ScanResult)
	if err != nil || !last {
		return err
	}
	if o.Report == 0 {
		err = store.DropOwedScan(tx, o.Repository, o.Digest)
	}
	if err != nil || !found {
		return err
	}
	project, err := store.ProjectOfRepository(tx, o.Repository)
	if err != nil {
		return err
	}
	n := o.Counts
	return event.Write(tx, event.Event{Type: event.ArtifactScanned, Project: project, Subject: o.Repository + "@" + o.Digest,
		Data: told{o.Repository, o.Digest, o.Scanner, o.Problem, n.Critical, n.High, n.Medium, n.Low, n.Other, n.Fixable, n.Checks}})
}

// Manifest reads a manifest as the hub itself does.
func (s *Service) Manifest(ctx context.Context, repository string, d digest.Digest) (*registry.Manifest, error) {
	return s.opt.Registry.Manifest(ctx, repository, registry.Reference{Digest: d}, false)
}

// image is the manifest of an image that can be scanned.
func (s *Service) image(ctx context.Context, repository, d string) (*registry.ParsedManifest, error) {
	m, err := s.Manifest(ctx, repository, digest.Digest(d))
	switch registry.CodeOf(err) {
	case registry.CodeManifestUnknown, registry.CodeNameUnknown:
		return nil, &Error{Reason: "the image is gone", Final: true}
	}
	if err != nil {
		return nil, err
	}
	return Image(m.MediaType, m.Payload)
}

// Image parses a manifest, and refuses what is not that of an image with a file system: there is nothing in it to be scanned.
func Image(mediaType string, payload []byte) (*registry.ParsedManifest, error) {
	parsed, err := registry.ParseManifest(mediaType, payload, registry.ManifestLimits{Payload: len(payload)})
	if err != nil {
		return nil, &Error{Reason: "the manifest cannot be read", Final: true}
	}
	if parsed.Kind != registry.KindImage || !imageConfig(parsed.Config.MediaType) {
		return nil, &Error{Reason: "this is no image: only images are scanned, and of an index its images", Final: true}
	}
	for _, l := range parsed.Layers {
		if strings.HasPrefix(l.MediaType, "application/vnd.oci.image.layer.") || strings.HasPrefix(l.MediaType, "application/vnd.docker.image.rootfs.") {
			return parsed, nil
		}
	}
	return nil, &Error{Reason: "there is no file system in this image, and so nothing to be scanned", Final: true}
}

func imageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == "application/vnd.docker.container.image.v1+json"
}

// Bounds of what is read of a configuration.
const (
	maxConfig = 4 << 20
	maxLabels = 200
	maxLabel  = 4 << 10
)

// facts are what the configuration of an image says; nil if it is none, which is no reason not to scan the image.
func (s *Service) facts(ctx context.Context, repository string, config *ocispec.Descriptor) (*core.ImageFacts, error) {
	if config.Size > maxConfig {
		return nil, nil
	}
	b, err := s.opt.Registry.Blob(registry.WithoutRedirect(ctx), repository, config.Digest)
	if registry.CodeOf(err) == registry.CodeBlobUnknown {
		return nil, &Error{Reason: "the configuration of the image is missing", Final: true}
	}
	if err != nil {
		return nil, err
	}
	defer b.Content.Close()
	text, err := io.ReadAll(io.LimitReader(b.Content, maxConfig))
	if err != nil {
		return nil, err
	}
	var c struct {
		Config struct {
			User   string
			Labels map[string]string
		} `json:"config"`
	}
	if err := json.Unmarshal(text, &c); err != nil || len(c.Config.Labels) > maxLabels {
		return nil, nil
	}
	for name, value := range c.Config.Labels {
		if len(name)+len(value) > maxLabel {
			return nil, nil
		}
	}
	return &core.ImageFacts{User: clip(c.Config.User, maxID), Labels: c.Config.Labels}, nil
}
