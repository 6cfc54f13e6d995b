package sbom

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

// shown is a document as a line for each package.
func shown(d *Document) string {
	lines := []string{fmt.Sprintf("%s %s, %d unnamed", d.Format, d.Version, d.Unnamed)}
	for i := range d.Packages {
		lines = append(lines, strings.TrimSpace(PURL(&d.Packages[i])+" "+d.Packages[i].Licences))
	}
	return strings.Join(lines, "\n")
}

func TestRead(t *testing.T) {
	for _, tt := range []struct{ name, document, want string }{
		{"SPDX 2.3", `{"spdxVersion":"SPDX-2.3","files":[{"name":"a"}],"packages":[
			{"name":"text","versionInfo":"v0.14.0","licenseDeclared":"BSD-3-Clause","licenseConcluded":"NOASSERTION","externalRefs":[
				{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:x"},
				{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:golang/GoLang.org/x/Text@v0.14.0"}]},
			{"name":"image"},
			{"name":"bad","externalRefs":[{"referenceType":"purl","referenceLocator":"golang.org/x/text"}]},
			{"name":"zlib","licenseConcluded":"Zlib","licenseDeclared":"MIT","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:deb/debian/zlib1g@1:1.2.13?distro=debian-12&arch=amd64"}]}]}`,
			"spdx 2.3, 2 unnamed\npkg:deb/debian/zlib1g@1:1.2.13?arch=amd64&distro=debian-12 Zlib\npkg:golang/golang.org/x/text@v0.14.0 BSD-3-Clause"},
		{"SPDX 2.2 without packages", `{"spdxVersion":"SPDX-2.2"}`, "spdx 2.2, 0 unnamed"},
		{"SPDX 3.0", `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"CreationInfo"},
			{"type":"software_Package","name":"a","software_packageUrl":"pkg:npm/a@1"},
			{"type":"software_Package","externalIdentifier":[{"externalIdentifierType":"cpe23","identifier":"x"},{"externalIdentifierType":"packageUrl","identifier":"pkg:npm/b@2"}]},
			{"type":"software_File","software_packageUrl":"pkg:npm/no@1"}]}`, "spdx 3.0, 0 unnamed\npkg:npm/a@1\npkg:npm/b@2"},
		{"CycloneDX", `{"bomFormat":"CycloneDX","specVersion":"1.7","metadata":{"component":{"type":"application","name":"app","purl":"pkg:golang/example.org/app@v1"}},
			"components":[{"type":"library","purl":"pkg:npm/%40babel/core@7.1.0","licenses":[{"license":{"id":"MIT"}},{"license":{"name":"A B"}}],
				"components":[{"type":"library","purl":"pkg:npm/inner@1","licenses":[{"expression":"MIT OR Apache-2.0"}]}]},
				{"type":"file","name":"/bin/x"},{"type":"operating-system","name":"debian"}]}`,
			"cyclonedx 1.7, 1 unnamed\npkg:golang/example.org/app@v1\npkg:npm/%40babel/core@7.1.0 MIT AND (A B)\npkg:npm/inner@1 MIT OR Apache-2.0"},
		{"the version may come last", `{"components":[{"purl":"pkg:npm/a@1"}],"specVersion":"1.2","bomFormat":"CycloneDX"}`, "cyclonedx 1.2, 0 unnamed\npkg:npm/a@1"},
		{"duplicates are one, with the first licence there is", `{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"purl":"pkg:npm/a@1"},
			{"purl":"pkg:npm/a@1","licenses":[{"license":{"id":"MIT"}}]},{"purl":"pkg:NPM/a@1","licenses":[{"license":{"id":"ISC"}}]}]}`, "cyclonedx 1.5, 0 unnamed\npkg:npm/a@1 MIT"},
		{"types that nobody expects", `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":[1,{"component":2}],"components":[null,7,"x",[{}],{"purl":{"a":[1]},"licenses":{"x":1}},{"purl":"pkg:npm/a@1","licenses":[null,{"license":"MIT"},{"license":{"id":3}}]}]}`,
			"cyclonedx 1.5, 5 unnamed\npkg:npm/a@1"},
		{"what references itself is only a text", `{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"a","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}],
			"relationships":[{"spdxElementId":"a","relatedSpdxElement":"a","relationshipType":"CONTAINS"}]}`, "spdx 2.3, 0 unnamed\npkg:npm/a@1"},
	} {
		d, err := Read(strings.NewReader(tt.document))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := shown(d); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ document, want string }{
		"nothing":           {``, "ends in the middle"},
		"no object":         {`[]`, "neither"},
		"half":              {`{"spdxVersion":"SPDX-2.3","packages":[{`, "ends in the middle"},
		"no JSON":           {`SPDXVersion: SPDX-2.3`, "not JSON"},
		"not UTF-8":         {"{\"spdxVersion\":\"SPDX-2.3\",\"x\":\"\xff\"}", "not JSON"},
		"more behind it":    {`{"spdxVersion":"SPDX-2.3"}{}`, "follows"},
		"another format":    {`{"packages":[]}`, "neither"},
		"a member twice":    {`{"spdxVersion":"SPDX-2.3","packages":[],"packages":[]}`, "twice"},
		"another SPDX":      {`{"spdxVersion":"SPDX-2.1"}`, "SPDX is not read"},
		"another CycloneDX": {`{"bomFormat":"CycloneDX","specVersion":"1.1"}`, "CycloneDX is not read"},
		"deep":              {strings.Repeat(`{"x":`, 20_000), "not JSON"},
	} {
		_, err := Read(strings.NewReader(tt.document))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	broken := errors.New("the disk is broken")
	if _, err := Read(io.MultiReader(strings.NewReader(`{"a":`), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The limits, at each and one past it.
func TestLimits(t *testing.T) {
	components := func(n int) io.Reader {
		var b strings.Builder
		b.WriteString(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`)
		for i := range n {
			fmt.Fprintf(&b, `{"purl":"pkg:npm/p%d@1"},`, i)
		}
		b.WriteString(`null]}`)
		return strings.NewReader(b.String())
	}
	if d, err := Read(components(MaxPackages)); err != nil || len(d.Packages) != MaxPackages {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := Read(components(MaxPackages + 1)); !errors.Is(err, errPackages) {
		t.Errorf("past the limit: %v", err)
	}
	nested := func(n int) io.Reader {
		return strings.NewReader(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[` + strings.Repeat(`{"components":[`, n-1) + `{"purl":"pkg:npm/a"}` +
			strings.Repeat(`]}`, n-1) + `]}`)
	}
	if d, err := Read(nested(maxDepth)); err != nil || len(d.Packages) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := Read(nested(maxDepth + 1)); err == nil {
		t.Error("components nest without an end")
	}
	const around = len(`{"spdxVersion":"SPDX-2.3","x":""}`)
	sized := func(n int) io.Reader {
		return strings.NewReader(`{"spdxVersion":"SPDX-2.3","x":"` + strings.Repeat("x", n-around) + `"}`)
	}
	if _, err := Read(sized(MaxDocument)); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := Read(sized(MaxDocument + 1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
	licensed := func(n int) string {
		d, err := Read(strings.NewReader(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"purl":"pkg:npm/a","licenses":[{"expression":"` + strings.Repeat("x", n) + `"}]}]}`))
		if err != nil || len(d.Packages) != 1 {
			t.Fatal(err)
		}
		return d.Packages[0].Licences
	}
	if licensed(maxLicences) == "" || licensed(maxLicences+1) != "" {
		t.Error("the limit of licences does not hold")
	}
}

func TestParsePURL(t *testing.T) {
	for text, want := range map[string]core.Package{
		"pkg:golang/golang.org/x/text":                        {Type: "golang", Namespace: "golang.org/x", Name: "text"},
		"pkg:GOLANG/golang.org/X/text@v0.14.0":                {Type: "golang", Namespace: "golang.org/x", Name: "text", Version: "v0.14.0"},
		"pkg:npm/%40babel/core@7.1.0":                         {Type: "npm", Namespace: "@babel", Name: "core", Version: "7.1.0"},
		"pkg:pypi/Django_Rest@3":                              {Type: "pypi", Name: "django-rest", Version: "3"},
		"pkg:deb/debian/libc6@2.36-9?distro=x&arch=amd64#sub": {Type: "deb", Namespace: "debian", Name: "libc6", Version: "2.36-9", Rest: "?arch=amd64&distro=x#sub"},
	} {
		got, err := ParsePURL(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := ParsePURL(PURL(&got)); err != nil || again != got {
			t.Errorf("%s: %s reads as %+v, %v", text, PURL(&got), again, err)
		}
	}
	at := "pkg:npm/" + strings.Repeat("x", maxPURL-len("pkg:npm/"))
	if _, err := ParsePURL(at); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "pkg:", "pkg:npm", "pkg:npm/", "npm/a", "pkg:npm/a%0Ab", "pkg:npm/a%E2%80%AEb", "pkg:npm/%ff", at + "x"} {
		if p, err := ParsePURL(text); err == nil {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
}
