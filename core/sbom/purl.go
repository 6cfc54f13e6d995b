package sbom

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/hallmarkhub/hallmark/core"
)

// maxPURL bounds a package URL, and so each of its parts, in bytes: as index entries they have to fit a page.
const maxPURL = 1024

// ParsePURL reads and normalises a package URL. The errors are sentences.
func ParsePURL(text string) (p core.Package, err error) {
	// The library is given what strangers wrote.
	defer func() {
		if r := recover(); r != nil {
			p, err = core.Package{}, errors.New("this package URL cannot be read")
		}
	}()
	if len(text) > maxPURL {
		return p, fmt.Errorf("a package URL has at most %d bytes", maxPURL)
	}
	u, err := packageurl.FromString(text)
	if err != nil {
		return p, errors.New("this is no package URL, such as pkg:golang/golang.org/x/text or pkg:npm/lodash@4.17.21")
	}
	p = core.Package{Type: u.Type, Namespace: u.Namespace, Name: u.Name, Version: u.Version}
	bare := u
	bare.Qualifiers, bare.Subpath = nil, ""
	p.Rest = strings.TrimPrefix(u.ToString(), bare.ToString())
	for _, part := range []string{p.Type, p.Namespace, p.Name, p.Version, p.Rest} {
		if len(part) > maxPURL || strings.ContainsFunc(part, unprintable) {
			return core.Package{}, errors.New("this package URL is too long, or has characters in it that cannot be shown")
		}
	}
	if p.Type == "" || p.Name == "" {
		return core.Package{}, errors.New("this package URL names no package")
	}
	return p, nil
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

// PURL is the package URL of a package, normalised.
func PURL(p *core.Package) string {
	u := packageurl.PackageURL{Type: p.Type, Namespace: p.Namespace, Name: p.Name, Version: p.Version}
	return u.ToString() + p.Rest
}
