package sbom

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hallmarkhub/hallmark/core"
)

// Bounds of one document. What is longer is another document than anybody makes by building an image.
const (
	MaxDocument = 16 << 20 // bytes
	MaxPackages = 50_000   // distinct ones
	maxDepth    = 64       // of components in components
	maxLicences = 512      // bytes of a licence expression; longer ones are left out
	maxText     = 4 << 10  // bytes of any text that is looked at
)

// Format is the kind of a document.
type Format string

// The formats.
const (
	SPDX      Format = "spdx"
	CycloneDX Format = "cyclonedx"
)

// Document is what was read.
type Document struct {
	Format  Format
	Version string // of the format: 2.3, 1.6 ..
	// Packages are in order of their package URLs, each once.
	Packages []core.Package
	// Unnamed counts what the document lists without a package URL, or with one that cannot be used. Files are not counted.
	Unnamed int
}

// Read reads a document. It holds the packages in memory, and of the rest a few kilobytes. An error is a sentence about the
// document, or that of reading r.
func Read(r io.Reader) (*Document, error) {
	limited := &io.LimitedReader{R: r, N: MaxDocument + 1}
	d := &reader{json: jsontext.NewDecoder(limited), seen: map[string]int{}}
	err := d.document()
	if limited.N <= 0 {
		return nil, fmt.Errorf("the document has more than %d bytes", MaxDocument)
	}
	if err != nil {
		return nil, d.told(err)
	}
	return d.finish()
}

// reader is one document being read.
type reader struct {
	json *jsontext.Decoder

	spdx, cyclonedx string // versions, once read
	bom, graph      bool   // the members by which CycloneDX and SPDX 3 are known
	packages        []core.Package
	purls           []string       // of packages
	seen            map[string]int // package URL to place in packages
	unnamed         int
}

func (d *reader) document() error {
	err := d.object(func(name string) error {
		switch name {
		case "spdxVersion":
			return d.text(&d.spdx)
		case "bomFormat":
			var format string
			err := d.text(&format)
			d.bom = format == "CycloneDX"
			return err
		case "specVersion":
			return d.text(&d.cyclonedx)
		case "packages":
			return d.array(d.spdxPackage)
		case "@graph":
			d.graph = true
			return d.array(d.spdxElement)
		case "components":
			return d.array(func() error { return d.component(1) })
		case "metadata":
			return d.metadata()
		}
		return d.json.SkipValue()
	})
	if err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

func (d *reader) finish() (*Document, error) {
	out := &Document{Unnamed: d.unnamed}
	switch version, ok := strings.CutPrefix(d.spdx, "SPDX-"); {
	case d.bom && slices.Contains([]string{"1.2", "1.3", "1.4", "1.5", "1.6", "1.7"}, d.cyclonedx):
		out.Format, out.Version = CycloneDX, d.cyclonedx
	case d.bom:
		return nil, errors.New("this version of CycloneDX is not read: write 1.2 to 1.7")
	case ok && (version == "2.2" || version == "2.3"):
		out.Format, out.Version = SPDX, version
	case d.spdx != "":
		return nil, errors.New("this version of SPDX is not read: write 2.2, 2.3 or 3.0")
	case d.graph:
		out.Format, out.Version = SPDX, "3.0"
	default:
		return nil, errors.New("the document is neither SPDX nor CycloneDX in JSON")
	}
	order := make([]int, len(d.packages))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(d.purls[a], d.purls[b]) })
	for _, i := range order {
		out.Packages = append(out.Packages, d.packages[i])
	}
	return out, nil
}

// errPackages says that a document lists more than is taken.
var errPackages = fmt.Errorf("the document lists more than %d packages", MaxPackages)

// add takes a package. Of several with one package URL the first that has a licence tells it.
func (d *reader) add(purl, licences string) error {
	p, err := ParsePURL(purl)
	if err != nil {
		d.unnamed++
		return nil //nolint:nilerr // what cannot be used is counted, and the rest of the document can be
	}
	if len(licences) <= maxLicences && !strings.ContainsFunc(licences, unprintable) {
		p.Licences = licences
	}
	key := PURL(&p)
	if i, ok := d.seen[key]; ok {
		if d.packages[i].Licences == "" {
			d.packages[i].Licences = p.Licences
		}
		return nil
	}
	if len(d.packages) == MaxPackages {
		return errPackages
	}
	d.seen[key] = len(d.packages)
	d.packages, d.purls = append(d.packages, p), append(d.purls, key)
	return nil
}

// told is an error without the words of the document in it, which the decoder's have.
func (d *reader) told(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the document ends in the middle")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("an object of the document has the same member twice, which others may read otherwise")
	case errors.As(err, &syntactic):
		return fmt.Errorf("the document is not JSON (at byte %d)", syntactic.ByteOffset)
	}
	return err
}

// object reads an object and calls f for each member, which has to read its value. null is an empty one; anything else is
// skipped, because a member of another type than the specification says is nothing that can be read.
func (d *reader) object(f func(name string) error) error {
	if d.json.PeekKind() != '{' {
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() == '"' {
		name, err := d.json.ReadToken()
		if err != nil {
			return err
		}
		if err := f(name.String()); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// array is object for an array: f has to read each element.
func (d *reader) array(f func() error) error {
	if d.json.PeekKind() != '[' {
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for k := d.json.PeekKind(); k != ']' && k != 0; k = d.json.PeekKind() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// text reads a text into v; what is too long, or none, leaves v as it is.
func (d *reader) text(v *string) error {
	if d.json.PeekKind() != '"' {
		return d.json.SkipValue()
	}
	token, err := d.json.ReadToken()
	if err != nil {
		return err
	}
	if s := token.String(); len(s) <= maxText {
		*v = s
	}
	return nil
}
