package sbom

import (
	"slices"
	"strings"
	"testing"
)

// Whatever a document is: its packages are distinct, in order, bounded, and their package URLs are read as what they are.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3","packages":[{"licenseDeclared":"MIT","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:golang/golang.org/x/text@v0.14.0"}]}]}`))
	f.Add([]byte(`{"@graph":[{"type":"software_Package","software_packageUrl":"pkg:npm/a@1","externalIdentifier":[{"externalIdentifierType":"packageUrl","identifier":"pkg:npm/b"}]}]}`))
	f.Add([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"purl":"pkg:oci/a"}},"components":[{"type":"library","purl":"pkg:deb/debian/a@1:2?arch=x#y","licenses":[{"license":{"id":"MIT"}}],"components":[]}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		d, err := Read(strings.NewReader(string(document)))
		if err != nil {
			if d != nil || err.Error() == "" {
				t.Fatal("a refusal with a document, or without a word")
			}
			return
		}
		var purls []string
		for i := range d.Packages {
			p := &d.Packages[i]
			purls = append(purls, PURL(p))
			if strings.ContainsFunc(PURL(p)+p.Licences, unprintable) || p.Name == "" || p.Type == "" {
				t.Fatalf("%+v", p)
			}
			again, err := ParsePURL(PURL(p))
			again.Licences = p.Licences
			if err == nil && again != *p {
				t.Fatalf("%s of %+v reads as %+v", PURL(p), p, again)
			}
		}
		if !slices.IsSorted(purls) || len(slices.Compact(purls)) != len(d.Packages) {
			t.Fatalf("not in order, or not distinct: %q", purls)
		}
	})
}
