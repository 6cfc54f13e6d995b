package trivy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/aquasecurity/trivy/pkg/cache"
	"github.com/aquasecurity/trivy/pkg/db"
	"github.com/aquasecurity/trivy/pkg/fanal/applier"
	ftypes "github.com/aquasecurity/trivy/pkg/fanal/types"
	"github.com/aquasecurity/trivy/pkg/result"
	"github.com/aquasecurity/trivy/pkg/sbom/core"
	"github.com/aquasecurity/trivy/pkg/sbom/cyclonedx"
	sbomio "github.com/aquasecurity/trivy/pkg/sbom/io"
	"github.com/aquasecurity/trivy/pkg/scan/langpkg"
	"github.com/aquasecurity/trivy/pkg/scan/local"
	"github.com/aquasecurity/trivy/pkg/scan/ospkg"
	"github.com/aquasecurity/trivy/pkg/types"
	"github.com/aquasecurity/trivy/pkg/vulnerability"

	trivydb "github.com/aquasecurity/trivy-db/pkg/db"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// Matcher matches SBOMs with a database that it holds open.
type Matcher struct {
	name       string
	components int
	os         *distribution
	service    local.Service
}

// NewMatcher opens the database in dir. Reports say that they are about name; an SBOM has at most so many components.
func NewMatcher(dir, name string, components int) (*Matcher, error) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // it logs what the SBOM says
	if err := db.Init(db.Dir(dir)); err != nil {
		return nil, fmt.Errorf("the vulnerability database cannot be opened: %w", err)
	}
	m := &Matcher{name: name, components: components, os: &distribution{Scanner: ospkg.NewScanner()}}
	m.service = local.NewService(applier.NewApplier(cache.NewMemoryCache()), m.os, langpkg.NewScanner(), vulnerability.NewClient(trivydb.Config{}))
	return m, nil
}

// Close closes the database.
func (m *Matcher) Close() error { return db.Close() }

// Match says what is known of the packages in an SBOM, as Trivy's report, and why that cannot be all there is. What is wrong
// with the document is an *image.Error.
func (m *Matcher) Match(ctx context.Context, raw []byte) (report json.RawMessage, incomplete string, err error) {
	defer func() {
		if r := recover(); r != nil { // the document is at fault, and the next one has nothing to do with it
			report, incomplete, err = nil, "", &image.Error{Code: "scanner", Message: "The scanner broke down over this SBOM."}
		}
	}()
	if incomplete, err = look(raw, m.components); err != nil {
		return nil, "", err
	}
	bom, err := read(ctx, raw)
	if err != nil {
		return nil, "", hostile("The SBOM cannot be read: %v", err)
	}
	target := types.ScanTarget{Name: m.name, Applications: bom.Applications}
	if bom.Metadata.OS != nil {
		target.OS = *bom.Metadata.OS
		target.OS.Normalize()
	}
	for _, p := range bom.Packages {
		target.Packages = append(target.Packages, p.Packages...)
	}
	m.os.incomplete = ""
	results, _, err := m.service.ScanTarget(ctx, target, types.ScanOptions{
		PkgTypes: types.PkgTypes, PkgRelationships: ftypes.Relationships, Scanners: types.Scanners{types.VulnerabilityScanner},
		VulnSeveritySources: severitySources(),
	})
	if err != nil {
		return nil, "", err
	}
	found := types.Report{SchemaVersion: 2, ArtifactName: m.name, ArtifactType: ftypes.TypeCycloneDX, Results: results}
	if err := result.Filter(ctx, found, filter()); err != nil {
		return nil, "", err
	}
	for i := range found.Results {
		found.Results[i].Packages = nil // whoever asks has them
	}
	if m.os.incomplete != "" {
		incomplete = m.os.incomplete
	}
	report, err = json.Marshal(found)
	return report, incomplete, err
}

// read is Trivy's reading of an SBOM, without its guessing of what it is.
func read(ctx context.Context, raw []byte) (*types.SBOM, error) {
	b := &cyclonedx.BOM{BOM: core.NewBOM(core.Options{GenerateBOMRef: true})}
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	var out types.SBOM
	return &out, sbomio.NewDecoder(b.BOM).Decode(ctx, &out)
}
