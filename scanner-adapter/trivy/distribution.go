package trivy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ospkgdetector "github.com/aquasecurity/trivy/pkg/detector/ospkg"
	ftypes "github.com/aquasecurity/trivy/pkg/fanal/types"
	"github.com/aquasecurity/trivy/pkg/scan/ospkg"
	"github.com/aquasecurity/trivy/pkg/types"
	bolt "go.etcd.io/bbolt"

	trivydb "github.com/aquasecurity/trivy-db/pkg/db"
)

// distribution matches the packages of a distribution as Trivy does, and keeps why what it found cannot be all there is:
// Trivy itself passes silently over a distribution that it does not know.
type distribution struct {
	ospkg.Scanner
	incomplete string
}

// Scan is that of ospkg.Scanner.
func (d *distribution) Scan(ctx context.Context, target types.ScanTarget, options types.ScanOptions) (types.Result, bool, error) {
	r, old, err := d.Scanner.Scan(ctx, target, options)
	if !options.Scanners.Enabled(types.VulnerabilityScanner) || len(target.Packages) == 0 {
		return r, old, err
	}
	switch {
	case errors.Is(err, ospkgdetector.ErrUnsupportedOS):
		d.incomplete = fmt.Sprintf("The scanner knows no vulnerabilities of the distribution %s.", target.OS.String())
		return r, old, nil // what packages there are is known all the same
	case err != nil:
		return r, old, err
	case !target.OS.Detected():
		d.incomplete = "The image does not say which distribution its packages are of."
	default:
		d.incomplete, err = missing(target)
	}
	return r, old, err
}

// prefixes are what the names of a family's data in the database begin with, where that is not the family's own name.
func prefixes(family ftypes.OSType) string {
	switch family {
	case ftypes.Amazon:
		return "amazon linux"
	case ftypes.Azure:
		return "Azure Linux"
	case ftypes.CBLMariner:
		return "CBL-Mariner"
	case ftypes.Oracle:
		return "Oracle Linux"
	case ftypes.RedHat, ftypes.CentOS, ftypes.CoreOS:
		return "Red Hat"
	case ftypes.Photon:
		return "Photon OS"
	case ftypes.OpenSUSELeap:
		return "openSUSE Leap"
	case ftypes.OpenSUSETumbleweed:
		return "openSUSE Tumbleweed"
	case ftypes.SLES:
		return "SUSE Linux Enterprise"
	case ftypes.SLEMicro:
		return "SUSE Linux Enterprise Micro"
	}
	return string(family)
}

// missing says that the database has nothing about the release of a distribution, "" if it has.
func missing(target types.ScanTarget) (string, error) {
	releases := []string{release(target.OS.Name)}
	if major, _, _ := strings.Cut(releases[0], "."); target.OS.Family == ftypes.Amazon && !slices.Contains([]string{"2", "2022", "2023"}, major) {
		releases = []string{"1"} // whose releases were dates
	}
	if target.Repository != nil {
		releases = append(releases, release(target.Repository.Release))
	}
	prefix, found := prefixes(target.OS.Family), false
	err := trivydb.Config{}.Connection().View(func(tx *bolt.Tx) error {
		c := tx.Cursor()
		for name, _ := c.Seek([]byte(prefix)); name != nil && !found; name, _ = c.Next() {
			rest, ok := strings.CutPrefix(string(name), prefix)
			if !ok {
				return nil
			}
			found = about(rest, releases)
		}
		return nil
	})
	if err != nil || found {
		return "", err
	}
	return fmt.Sprintf("The vulnerability database has nothing about %s.", target.OS.String()), nil
}

// about says whether what is behind the name of a family is one of its releases: "" is all of them, " 12" is of 12 and 12.5.
func about(rest string, releases []string) bool {
	have, versioned := strings.CutPrefix(rest, " ")
	if !versioned {
		return rest == ""
	}
	for _, r := range releases {
		if r != "" && (r == have || strings.HasPrefix(r, have+".")) {
			return true
		}
	}
	return false
}

// release is the version in what a distribution calls its release, such as 2 in 2 (Karoo).
func release(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return first
}
