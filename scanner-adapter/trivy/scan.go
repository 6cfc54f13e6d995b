package trivy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	cdx "github.com/CycloneDX/cyclonedx-go"
	dbtypes "github.com/aquasecurity/trivy-db/pkg/types"
	"github.com/aquasecurity/trivy/pkg/cache"
	"github.com/aquasecurity/trivy/pkg/db"
	"github.com/aquasecurity/trivy/pkg/fanal/analyzer"
	"github.com/aquasecurity/trivy/pkg/fanal/applier"
	"github.com/aquasecurity/trivy/pkg/fanal/artifact"
	artimage "github.com/aquasecurity/trivy/pkg/fanal/artifact/image"
	ftypes "github.com/aquasecurity/trivy/pkg/fanal/types"
	"github.com/aquasecurity/trivy/pkg/iac/rego"
	"github.com/aquasecurity/trivy/pkg/javadb"
	"github.com/aquasecurity/trivy/pkg/licensing/expression"
	"github.com/aquasecurity/trivy/pkg/misconf"
	"github.com/aquasecurity/trivy/pkg/result"
	"github.com/aquasecurity/trivy/pkg/sbom/cyclonedx"
	"github.com/aquasecurity/trivy/pkg/sbom/spdx"
	"github.com/aquasecurity/trivy/pkg/scan"
	"github.com/aquasecurity/trivy/pkg/scan/langpkg"
	"github.com/aquasecurity/trivy/pkg/scan/local"
	"github.com/aquasecurity/trivy/pkg/scan/ospkg"
	"github.com/aquasecurity/trivy/pkg/types"
	"github.com/aquasecurity/trivy/pkg/vulnerability"

	trivydb "github.com/aquasecurity/trivy-db/pkg/db"
	_ "modernc.org/sqlite" // what Trivy's index of Java archives is read with; its main package links it

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// Wanted is what one scan is to find out.
type Wanted struct {
	Vulnerabilities bool
	Extras          bool // secrets, licences, and mistakes in the image's configuration
	SPDX, CycloneDX bool
	Database        string // directory with db and java-db
	Version         string // of Trivy, for the SBOM
	Parallel        int
}

// Found is what it found.
type Found struct {
	Report, SPDX, CycloneDX json.RawMessage
	Incomplete              string // why what is in Report cannot be all there is
}

// Scan looks into an image.
func Scan(ctx context.Context, img *image.Image, w Wanted) (*Found, error) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // it logs what the image says
	javadb.Init(w.Database, nil, true, true, ftypes.RegistryOptions{})
	if w.Vulnerabilities {
		if err := db.Init(db.Dir(w.Database)); err != nil {
			return nil, fmt.Errorf("the vulnerability database cannot be opened: %w", err)
		}
		defer func() { _ = db.Close() }()
	}
	option, err := options(w)
	if err != nil {
		return nil, err
	}
	memory := cache.NewMemoryCache()
	art, err := artimage.NewArtifact(&scanned{img}, memory, option)
	if err != nil {
		return nil, err
	}
	os := &distribution{Scanner: ospkg.NewScanner()}
	backend := local.NewService(applier.NewApplier(memory), os, langpkg.NewScanner(), vulnerability.NewClient(trivydb.Config{}))
	report, err := scan.NewService(backend, art).ScanArtifact(ctx, scanOptions(w))
	if err != nil {
		return nil, err
	}
	if err := result.Filter(ctx, report, filter()); err != nil {
		return nil, err
	}
	found, err := write(ctx, report, w)
	if err == nil {
		found.Incomplete = os.incomplete
	}
	return found, err
}

// options of the analysis. Rekor, other registries' SBOMs and SBOM files inside the image are no input: nobody verified
// what they say. Lock files are not what is installed.
func options(w Wanted) (artifact.Option, error) {
	off := append([]analyzer.Type{analyzer.TypeSBOM, analyzer.TypeApkCommand, analyzer.TypeExecutable, analyzer.TypeRpmArchive,
		analyzer.TypeLicenseFile}, analyzer.TypeLockfiles...)
	off = append(off, analyzer.TypeConfigFiles...)
	o := artifact.Option{
		Parallel: w.Parallel, NoProgress: true, Offline: true, FileChecksum: w.SPDX || w.CycloneDX,
		DetectionPriority: ftypes.PriorityPrecise,
	}
	if !w.Extras {
		o.DisabledAnalyzers = append(off, analyzer.TypeSecret, analyzer.TypeHistoryDockerfile, analyzer.TypeImageConfigSecret)
		return o, nil
	}
	o.DisabledAnalyzers = off
	o.LicenseScannerOption.ClassifierConfidenceLevel = 0.9
	o.MisconfScannerOption = misconf.ScannerOption{Namespaces: rego.BuiltinNamespaces()} // the checks that are linked in
	checks, err := misconf.InitRegoScanner(o.MisconfScannerOption)
	o.MisconfScannerOption.RegoScanner = checks
	return o, err
}

func scanOptions(w Wanted) types.ScanOptions {
	o := types.ScanOptions{
		PkgTypes: types.PkgTypes, PkgRelationships: ftypes.Relationships, Scanners: types.Scanners{types.SBOMScanner},
	}
	if w.Vulnerabilities {
		o.Scanners = append(o.Scanners, types.VulnerabilityScanner)
		o.VulnSeveritySources = severitySources()
	}
	if w.Extras {
		o.Scanners = append(o.Scanners, types.SecretScanner, types.LicenseScanner)
		o.ImageConfigScanners = types.Scanners{types.MisconfigScanner, types.SecretScanner}
		o.LicenseCategories = map[ftypes.LicenseCategory][]string{
			ftypes.CategoryForbidden: expression.ForbiddenLicenses, ftypes.CategoryRestricted: expression.RestrictedLicenses,
			ftypes.CategoryReciprocal: expression.ReciprocalLicenses, ftypes.CategoryNotice: expression.NoticeLicenses,
			ftypes.CategoryPermissive: expression.PermissiveLicenses, ftypes.CategoryUnencumbered: expression.UnencumberedLicenses,
		}
	}
	return o
}

// severitySources are whose word is taken for how bad a vulnerability is: Trivy chooses.
func severitySources() []dbtypes.SourceID { return []dbtypes.SourceID{"auto"} }

// filter drops duplicates and nothing else: which findings matter is a policy's question.
func filter() result.FilterOptions {
	return result.FilterOptions{Severities: []dbtypes.Severity{dbtypes.SeverityUnknown, dbtypes.SeverityLow,
		dbtypes.SeverityMedium, dbtypes.SeverityHigh, dbtypes.SeverityCritical}}
}

func write(ctx context.Context, report types.Report, w Wanted) (*Found, error) {
	var found Found
	var err error
	report.Trivy.Version = w.Version
	if found.Report, err = json.Marshal(report); err != nil {
		return nil, err
	}
	bill := report
	bill.Results = nil
	for _, r := range report.Results {
		if len(r.Packages) > 0 { // an SBOM says what is in an image, and not what somebody thinks of that today
			r.Vulnerabilities, r.Misconfigurations, r.Secrets, r.Licenses = nil, nil, nil, nil
			bill.Results = append(bill.Results, r)
		}
	}
	if w.SPDX {
		doc, err := spdx.NewMarshaler(w.Version).MarshalReport(ctx, bill)
		if err != nil {
			return nil, err
		}
		if found.SPDX, err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	if w.CycloneDX {
		marshaler := cyclonedx.NewMarshaler(w.Version)
		doc, err := marshaler.MarshalReport(ctx, bill)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetEscapeHTML(false).Encode(doc); err != nil {
			return nil, err
		}
		found.CycloneDX = out.Bytes()
	}
	return &found, nil
}

// Check opens a database and reads all of it, so that a broken one never becomes the one that scans use.
func Check(dir string) error {
	if _, err := os.Stat(filepath.Join(db.Dir(dir), "trivy.db")); err != nil {
		return err
	}
	if err := db.Init(db.Dir(dir)); err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return pages(trivydb.Config{}.Connection())
}
