package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// maxRequest bounds a request of a scan. Tokens of registries have up to some kilobytes.
const maxRequest = 256 << 10

// problem is what is wrong with a request, and the status that says so.
type problem struct {
	status   int
	sentence string
}

func wrong(status int, format string, args ...any) *problem {
	return &problem{status, fmt.Sprintf(format, args...)}
}

// parse reads a request and makes a job of it.
func (s *Service) parse(w http.ResponseWriter, r *http.Request) (spec.Request, job.Job, *problem) {
	var req spec.Request
	if !spec.IsRequest(r.Header.Get("Content-Type")) {
		return req, job.Job{}, wrong(http.StatusBadRequest, "The Content-Type has to be application/vnd.scanner.adapter.scan.request+json; version=1.0 or 1.1.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return req, job.Job{}, wrong(http.StatusRequestEntityTooLarge, "The request has more than %d bytes.", maxRequest)
	case err != nil:
		return req, job.Job{}, wrong(http.StatusBadRequest, "The request could not be read.")
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, job.Job{}, wrong(http.StatusBadRequest, "The request is not the JSON of a scan.")
	}
	j, p := s.job(req)
	return req, j, p
}

func (s *Service) job(req spec.Request) (job.Job, *problem) {
	j := job.Job{Kind: job.Scan, Repository: req.Artifact.Repository, Digest: req.Artifact.Digest, Limits: s.opt.Limits,
		Version: s.opt.Scanner.Version}
	from, p := s.registry(req.Registry)
	if p != nil {
		return j, p
	}
	j.Source = image.Source{URL: from, Authorization: req.Registry.Authorization, Hosts: s.opt.Hosts}
	a := req.Artifact
	_, err := registry.ParseDigest(a.Digest)
	scheme, _, _ := strings.Cut(req.Registry.Authorization, " ")
	switch {
	case !registry.ValidName(a.Repository):
		return j, wrong(http.StatusUnprocessableEntity, "artifact.repository is not the name of a repository.")
	case err != nil:
		return j, wrong(http.StatusUnprocessableEntity, "artifact.digest has to be the digest of an image; tags are not scanned, because they move.")
	case a.MediaType != "" && a.MediaType != spec.ImageOCI && a.MediaType != spec.ImageDocker:
		return j, wrong(http.StatusUnprocessableEntity, "artifact.mime_type has to be %s or %s. An index is scanned image by image.", spec.ImageOCI, spec.ImageDocker)
	case scheme != "" && !strings.EqualFold(scheme, "Basic") && !strings.EqualFold(scheme, "Bearer"):
		return j, wrong(http.StatusUnprocessableEntity, "registry.authorization is neither Basic nor Bearer.")
	}
	return j, s.wanted(req.Capabilities, &j)
}

// registry finds the registry of a request among those the operator named: otherwise whoever may ask for a scan could
// make this process call any address of its network.
func (s *Service) registry(r spec.Registry) (string, *problem) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", wrong(http.StatusUnprocessableEntity, "registry.url has to be like https://registry.example.com.")
	}
	for _, known := range s.opt.Registries {
		if u.Scheme == known.Scheme && strings.EqualFold(u.Host, known.Host) {
			return known.Scheme + "://" + known.Host, nil
		}
	}
	return "", wrong(http.StatusUnprocessableEntity, "%s://%s is not among the registries that this adapter reads. Add it to registries if it should.", u.Scheme, u.Host)
}

// wanted says what a scan is to find out. Without capabilities it is what version 1.0 did: vulnerabilities.
func (s *Service) wanted(enabled []spec.EnabledCapability, j *job.Job) *problem {
	if len(enabled) == 0 {
		j.Vulnerabilities, j.Extras = true, s.opt.Extras
		return nil
	}
	for _, c := range enabled {
		switch c.Type {
		case spec.Vulnerability:
			j.Vulnerabilities = true
			j.Extras = j.Extras || s.opt.Extras && len(c.Produces) == 0 ||
				slices.ContainsFunc(c.Produces, func(m string) bool { return spec.Same(m, spec.ReportRaw) })
			for _, m := range c.Produces {
				if !spec.Same(m, spec.ReportHarbor) && !spec.Same(m, spec.ReportGeneric) && !spec.Same(m, spec.ReportRaw) {
					return wrong(http.StatusUnprocessableEntity, "Reports of vulnerabilities are made as %s, %s and %s.", spec.ReportHarbor, spec.ReportGeneric, spec.ReportRaw)
				}
			}
		case spec.SBOM:
			if p := wantedSBOM(c, j); p != nil {
				return p
			}
		case spec.Content:
			j.Extras = true
			for _, m := range c.Produces {
				if !spec.Same(m, spec.ReportContent) {
					return wrong(http.StatusUnprocessableEntity, "Reports of what is in an image are made as %s.", spec.ReportContent)
				}
			}
		default:
			return wrong(http.StatusUnprocessableEntity, "The capabilities of a scan are vulnerability, sbom and content.")
		}
	}
	return nil
}

func wantedSBOM(c spec.EnabledCapability, j *job.Job) *problem {
	for _, m := range c.Produces {
		if !spec.Same(m, spec.ReportSBOM) {
			return wrong(http.StatusUnprocessableEntity, "Reports with an SBOM are made as %s.", spec.ReportSBOM)
		}
	}
	if c.Parameters == nil || len(c.Parameters.SBOMMediaTypes) == 0 {
		j.SPDX, j.CycloneDX = true, true
		return nil
	}
	for _, m := range c.Parameters.SBOMMediaTypes {
		switch m {
		case spec.SBOMSPDX:
			j.SPDX = true
		case spec.SBOMCycloneDX:
			j.CycloneDX = true
		default:
			return wrong(http.StatusUnprocessableEntity, "SBOMs are made as %s and %s.", spec.SBOMSPDX, spec.SBOMCycloneDX)
		}
	}
	return nil
}
