// Package bill writes what a Go program is made of as an SPDX document, for tests: what `go version -m` says of it.
package bill

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
)

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type module struct {
	ID       string      `json:"SPDXID"`
	Name     string      `json:"name"`
	Version  string      `json:"versionInfo"`
	Location string      `json:"downloadLocation"`
	Refs     []reference `json:"externalRefs"`
}

// Of is the document of a program.
func Of(program string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var all []module
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		all = append(all, module{"SPDXRef-" + url.PathEscape(m.Path), m.Path, m.Version, "NOASSERTION", []reference{{"PACKAGE-MANAGER", "purl", purl}}})
	}
	if len(all) < 10 {
		return nil, fmt.Errorf("%s is made of %d modules", program, len(all))
	}
	return json.Marshal(map[string]any{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": info.Path,
		"documentNamespace": "https://example.org/" + info.Path, "packages": all,
		"creationInfo": map[string]any{"created": "2026-01-01T00:00:00Z", "creators": []string{"Tool: go version -m"}}})
}
