package service

import (
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// ready reports whether scans can be done: there is a database.
func (s *Service) ready(w http.ResponseWriter, _ *http.Request) {
	_, release, err := s.opt.Store.Acquire(true)
	if err != nil {
		failure(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	release()
}

func (s *Service) metadata(w http.ResponseWriter, r *http.Request) {
	mediaType, ok := spec.MetadataType(r.Header.Get("Accept"))
	if !ok {
		failure(w, http.StatusNotAcceptable, "The metadata are "+spec.MediaMetadata10+" or 1.1.")
		return
	}
	images := []string{spec.ImageOCI, spec.ImageDocker}
	m := spec.Metadata{Scanner: s.opt.Scanner, Properties: s.properties()}
	vulnerabilities := spec.Capability{Type: spec.Vulnerability, Consumes: images,
		Produces: []string{spec.ReportHarbor, spec.ReportGeneric, spec.ReportRaw}}
	if mediaType == spec.MediaMetadata10 { // which knows of no other capability
		vulnerabilities.Type = ""
		m.Capabilities = []spec.Capability{vulnerabilities}
	} else {
		m.Capabilities = []spec.Capability{vulnerabilities, {Type: spec.SBOM, Consumes: images, Produces: []string{spec.ReportSBOM},
			Attributes: &spec.Attributes{SBOMMediaTypes: []string{spec.SBOMSPDX, spec.SBOMCycloneDX}}},
			{Type: spec.Content, Consumes: images, Produces: []string{spec.ReportContent}},
			{Type: spec.SBOMs, Consumes: []string{spec.SBOMCycloneDX}, Produces: []string{spec.MediaFindings}}}
	}
	answer(w, http.StatusOK, mediaType, m)
}

// properties are shown by whoever uses the adapter: how old the databases are, and what is wrong with them.
func (s *Service) properties() map[string]string {
	p := map[string]string{"harbor.scanner-adapter/scanner-type": "os-package-vulnerability"}
	for i, d := range s.opt.Databases {
		name := "vulnerability-database"
		if i > 0 {
			name = d.Kind.Name
		}
		state := d.State()
		if state.UpdatedAt != nil {
			p["harbor.scanner-adapter/"+name+"-updated-at"] = state.UpdatedAt.Format(time.RFC3339)
			p["harbor.scanner-adapter/"+name+"-next-update-at"] = state.NextUpdate.Format(time.RFC3339)
		}
		if state.LastError != "" {
			p["hallmark.scanner-adapter/"+name+"-error"] = state.LastError
		}
		if state.Hint != "" {
			p["hallmark.scanner-adapter/"+name+"-hint"] = state.Hint
		}
	}
	return p
}
