package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/job"
	"github.com/hallmarkhub/hallmark/scanner-adapter/report"
	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// refreshAfter is when a client is told to ask again.
const refreshAfter = 2 * time.Second

// scan is one scan, from the request until its reports are dropped.
type scan struct {
	id       string
	artifact spec.Artifact
	job      job.Job // holds the credential until the scan ended

	done    bool
	at      time.Time // of the end
	failed  string    // why there are no reports
	reports map[string][]byte
}

// sbomKey names an SBOM among the reports of a scan.
func sbomKey(mediaType string) string { return spec.ReportSBOM + " " + mediaType }

// accept queues a scan.
func (s *Service) accept(w http.ResponseWriter, r *http.Request) {
	req, j, p := s.parse(w, r)
	if p != nil {
		failure(w, p.status, p.sentence)
		return
	}
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails
	one := &scan{id: hex.EncodeToString(raw), artifact: req.Artifact, job: j}
	s.mu.Lock()
	s.forget()
	select {
	case s.queue <- one:
		s.scans[one.id] = one
		s.order = append(s.order, one.id)
		s.mu.Unlock()
		answer(w, http.StatusAccepted, spec.MediaResponse, spec.Accepted{ID: one.id})
	default:
		s.mu.Unlock()
		w.Header().Set("Retry-After", "30")
		failure(w, http.StatusTooManyRequests, "The queue is full. Try again later, or raise queue.")
	}
}

// perform runs a scan.
func (s *Service) perform(ctx context.Context, one *scan) {
	began := s.now()
	reports, err := s.run(ctx, one)
	s.mu.Lock()
	defer s.mu.Unlock()
	one.done, one.at, one.job = true, s.now(), job.Job{}
	log := s.opt.Log.With("scan", one.id, "repository", one.artifact.Repository, "digest", one.artifact.Digest, "took", one.at.Sub(began).Round(time.Millisecond))
	if err != nil {
		code, sentence := reason(err)
		one.failed = sentence + " (" + code + ")"
		log.Warn("a scan failed", "code", code, "reason", sentence)
		return
	}
	one.reports = reports
	s.kept += size(reports)
	s.forget()
	log.Info("a scan is done")
}

// run runs the child and makes the reports of what it found. Whatever it says that is no report of this image is an error.
func (s *Service) run(ctx context.Context, one *scan) (map[string][]byte, error) {
	j := one.job
	dir, release, err := s.opt.Store.Acquire(j.Vulnerabilities)
	if err != nil {
		return nil, err
	}
	defer release()
	j.Database = dir
	found, err := s.opt.Worker.Run(ctx, j)
	if err != nil {
		return nil, err
	}
	reports := map[string][]byte{}
	about := report.About{Artifact: one.artifact, Scanner: s.opt.Scanner, At: s.now().UTC()}
	if j.Vulnerabilities {
		made, err := report.Vulnerabilities(found.Report, about)
		if err != nil {
			return nil, &sandbox.Failure{Code: sandbox.CodeCrash, Message: err.Error()}
		}
		if reports[spec.ReportHarbor], err = json.Marshal(made); err != nil {
			return nil, err
		}
		reports[spec.ReportRaw] = found.Report
	}
	if j.Extras {
		made, err := report.Content(found.Report, found.Incomplete, about)
		if err != nil {
			return nil, &sandbox.Failure{Code: sandbox.CodeCrash, Message: err.Error()}
		}
		if reports[spec.ReportContent], err = json.Marshal(made); err != nil {
			return nil, err
		}
	}
	for _, sbom := range []struct {
		wanted    bool
		mediaType string
		raw       json.RawMessage
	}{{j.SPDX, spec.SBOMSPDX, found.SPDX}, {j.CycloneDX, spec.SBOMCycloneDX, found.CycloneDX}} {
		if !sbom.wanted {
			continue
		}
		made, err := report.SBOM(sbom.raw, sbom.mediaType, about)
		if err != nil {
			return nil, &sandbox.Failure{Code: sandbox.CodeCrash, Message: err.Error()}
		}
		if reports[sbomKey(sbom.mediaType)], err = json.Marshal(made); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// reason is a code and a sentence for an error.
func reason(err error) (code, sentence string) {
	var failed *sandbox.Failure
	var refused *image.Error
	var missing *database.Refused
	switch {
	case errors.As(err, &failed):
		return failed.Code, failed.Message
	case errors.As(err, &refused):
		return refused.Code, refused.Message
	case errors.As(err, &missing):
		return "database", missing.Message
	}
	return "internal", fmt.Sprintf("The scan failed for a reason that is ours: %v.", err)
}

// maxRemembered bounds how many scans are remembered, besides those that wait or run.
const maxRemembered = 1000

// forget drops what ended long ago, and the oldest reports when all of them are too much. s.mu is held.
func (s *Service) forget() {
	ended := 0
	for _, id := range s.order {
		if s.scans[id].done {
			ended++
		}
	}
	kept := s.order[:0]
	for _, id := range s.order {
		one := s.scans[id]
		if one.done && (s.now().Sub(one.at) > s.opt.Keep || s.kept > s.opt.KeepBytes || ended > maxRemembered) {
			s.kept -= size(one.reports)
			ended--
			delete(s.scans, id)
			continue
		}
		kept = append(kept, id)
	}
	clear(s.order[len(kept):])
	s.order = kept
}

func size(reports map[string][]byte) int64 {
	var sum int64
	for _, r := range reports {
		sum += int64(len(r))
	}
	return sum
}

// report answers with a report, or says when to ask again.
func (s *Service) report(w http.ResponseWriter, r *http.Request) {
	mediaType := spec.ReportType(r.Header.Get("Accept"))
	if mediaType == "" {
		failure(w, http.StatusBadRequest, "Accept names no report of this adapter; its metadata list them.")
		return
	}
	s.mu.Lock()
	s.forget()
	one, ok := s.scans[r.PathValue("id")]
	var view scan
	if ok {
		view = *one
	}
	s.mu.Unlock()
	switch {
	case !ok:
		failure(w, http.StatusNotFound, "There is no such scan. Reports are kept for a while, and not when the adapter is started anew: scan again.")
	case !view.done:
		w.Header().Set("Refresh-After", strconv.Itoa(int(refreshAfter.Seconds())))
		w.WriteHeader(http.StatusFound)
	case view.failed != "":
		failure(w, http.StatusInternalServerError, view.failed)
	default:
		view.send(w, mediaType, r.URL.Query().Get("sbom_media_type"))
	}
}

func (v scan) send(w http.ResponseWriter, mediaType, sbom string) {
	key := mediaType
	switch mediaType {
	case spec.ReportGeneric:
		key = spec.ReportHarbor // 1.0 is read by what ignores the fields that 1.1 added
	case spec.ReportSBOM:
		if sbom == "" {
			sbom = spec.SBOMSPDX
		}
		key = sbomKey(sbom)
	}
	content, ok := v.reports[key]
	if !ok {
		failure(w, http.StatusBadRequest, "This scan was not asked for such a report: name it in enabled_capabilities.")
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(content)
}
