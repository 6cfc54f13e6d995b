package sbom

import (
	"strings"

	debian "github.com/knqyf263/go-deb-version"
	rpm "github.com/knqyf263/go-rpm-version"
	"golang.org/x/mod/semver"
)

// CompareVersions orders two versions of a package by the rules of its type: negative if a comes before b. known is false where the
// order is not known: of types that have rules of their own, and of versions that do not follow those of their type.
func CompareVersions(kind, a, b string) (order int, known bool) {
	switch kind {
	case "golang", "npm", "cargo":
		a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
		return semver.Compare(a, b), semver.IsValid(a) && semver.IsValid(b)
	case "deb":
		x, err := debian.NewVersion(a)
		if err != nil {
			return 0, false
		}
		y, err := debian.NewVersion(b)
		return x.Compare(y), err == nil
	case "rpm":
		if a == "" || b == "" {
			return 0, false
		}
		return rpm.NewVersion(a).Compare(rpm.NewVersion(b)), true
	}
	return 0, false
}
