package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
)

// findingDocument is findings as a file: its bytes are not to be written anew, which the generated code would do.
type findingDocument struct {
	mediaType, name, missing, link string
	text                           []byte
}

func (f findingDocument) write(w http.ResponseWriter) error {
	h := w.Header()
	for name, value := range map[string]string{"Content-Type": f.mediaType, "Content-Length": strconv.Itoa(len(f.text)),
		"Content-Disposition": `attachment; filename="` + f.name + `"`, "Hallmark-Missing": f.missing, "Link": f.link} {
		if value != "" {
			h.Set(name, value)
		}
	}
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(f.text)
	return err
}

// VisitListVulnerabilitiesResponse writes the file.
func (f findingDocument) VisitListVulnerabilitiesResponse(w http.ResponseWriter) error {
	return f.write(w)
}

// VisitListProjectVulnerabilitiesResponse writes the file.
func (f findingDocument) VisitListProjectVulnerabilitiesResponse(w http.ResponseWriter) error {
	return f.write(w)
}

// reported is what a file of findings is about.
type reported struct {
	repository string // whole name
	artifact   *store.Artifact
	missing    []string
}

func (a *API) findingFile(ctx context.Context, format string, about reported, all []inventory.FoundIn, zh bool) (ListVulnerabilitiesResponseObject, error) {
	if len(all) > maxFile {
		return nil, core.Errorf(core.CodeLimit, "these are %d findings, and a file has at most %d: ask for those of one severity or platform", len(all), maxFile)
	}
	said, err := a.inventory.Told(ctx, inventory.IDs(all))
	if err != nil {
		return nil, err
	}
	f := findingDocument{mediaType: "text/csv; charset=utf-8", name: "vulnerabilities.csv", missing: missing(about.missing)}
	if format == "sarif" {
		f.mediaType, f.name = "application/sarif+json", "vulnerabilities.sarif"
		f.text, err = json.Marshal(a.sarif(about, all, said, zh))
		return f, err
	}
	rows := [][]string{findingColumns()}
	for i := range all {
		rows = append(rows, findingRow(about.repository, about.artifact.Digest, about.artifact.Tags, &all[i], said[all[i].ID], zh))
	}
	f.text, err = csvText(rows)
	return f, err
}

func findingColumns() []string {
	return []string{"repository", "digest", "tags", "platforms", "id", "aliases", "severity", "score", "package", "version", "fixed", "title", "purl", "path",
		"layer", "scanners", "exception", "exception_until"}
}

func findingRow(repository, digest string, tags []string, f *inventory.FoundIn, said *inventory.Told, zh bool) []string {
	var aliases []string
	for _, x := range said.Aliases {
		aliases = append(aliases, x.Alias)
	}
	score, reason, until := "", "", ""
	if said.Score != 0 {
		score = strconv.FormatFloat(said.Score, 'f', 1, 64)
	}
	if e := f.Exception; e != nil {
		reason, until = e.Reason, e.ExpiresAt.Format("2006-01-02T15:04:05Z07:00")
	}
	return []string{repository, digest, strings.Join(tags, " "), strings.Join(f.Platforms, " "), f.ID, strings.Join(aliases, " "), string(f.Severity), score,
		f.Package, f.Version, f.Fixed, said.TitleIn(zh), f.PURL, f.Path, f.Layer, strings.Join(f.Scanners, " "), reason, until}
}

// csvText writes rows so that no spreadsheet takes a cell for a formula.
func csvText(rows [][]string) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for _, row := range rows {
		for i := range row {
			row[i] = inertCell(row[i])
		}
	}
	err := w.WriteAll(rows)
	return out.Bytes(), err
}
