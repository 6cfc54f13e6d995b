package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// Report is what a scanner reported of an image, as far as it can be taken.
type Report struct {
	Scan            *core.Scan
	Vulnerabilities []core.Vulnerability
	SBOMs           []SBOM

	digest string // what it has to be about
	most   int    // findings of a kind
	found  map[findingKey]int
	told   map[string]int // index in Vulnerabilities
}

// SBOM is a bill of materials that a scanner made.
type SBOM struct {
	MediaType string
	Document  []byte
}

// findingKey is what one finding is: a scanner may report it for each file of a package.
type findingKey struct{ id, pkg, version, purl string }

func newReport(digest string, most int) *Report {
	return &Report{Scan: &core.Scan{}, digest: digest, most: most, found: map[findingKey]int{}, told: map[string]int{}}
}

// Bytes of what is kept of texts, and numbers of lists.
const (
	maxID          = 128
	maxName        = 512
	maxPURL        = 2048
	maxPath        = 1024
	maxTitle       = 200
	maxDescription = 8 << 10
	maxLink        = 2048
	maxLinks       = 50
	maxKinds       = 32
)

// lying is what is wrong with a report. The same adapter will report the same again.
func lying(format string, args ...any) *Error {
	return &Error{Reason: "the scanner's report cannot be taken: " + fmt.Sprintf(format, args...), Final: true}
}

// members reads an object member by member, so that no list in it is in memory as a whole. What take does not want it leaves.
func members(r io.Reader, take func(name string, d *json.Decoder) (taken bool, err error)) error {
	d := json.NewDecoder(r)
	if err := delimiter(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return garbled(err)
		}
		name, _ := t.(string)
		if seen[name] {
			return lying("it says twice what %q is", clip(name, maxID))
		}
		if seen[name] = true; len(seen) > 1000 {
			return lying("it has more than 1000 members")
		}
		taken, err := take(name, d)
		if err == nil && !taken {
			var left json.RawMessage
			err = d.Decode(&left)
		}
		if err != nil {
			return garbled(err)
		}
	}
	if err := delimiter(d, '}'); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return lying("there is something behind it")
	}
	return nil
}

func delimiter(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return garbled(err)
	}
	if t != want {
		return lying("it is not the JSON that it should be")
	}
	return nil
}

// garbled is an error of the decoder as one of the report; those of the transport and our own stay what they are.
func garbled(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, new(*Error)):
		return err
	case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, io.EOF):
		return lying("it is not the JSON that it should be (%s)", clip(err.Error(), maxSentence))
	}
	return failed("the scanner's report broke off: %s", clip(err.Error(), maxSentence))
}

// list reads an array one by one. null is an empty one.
func (r *Report) list(d *json.Decoder, one func(d *json.Decoder) error) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return lying("there is no list where one should be")
	}
	for n := 0; d.More(); n++ {
		if n == r.most {
			return lying("it has more than %d findings (limits.scan_findings)", r.most)
		}
		if err := one(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// about checks that a report is about the image that was asked about.
func (r *Report) about(d *json.Decoder, checked *bool) error {
	var a artifact
	if err := d.Decode(&a); err != nil {
		return err
	}
	if a.Digest != r.digest {
		return lying("it is about %q and not about %s", clip(a.Digest, maxID), r.digest)
	}
	*checked = true
	return nil
}

func (r *Report) read(in io.Reader, must string, take func(name string, d *json.Decoder) (bool, error)) error {
	checked, there := false, false
	err := members(in, func(name string, d *json.Decoder) (bool, error) {
		if name == "artifact" {
			return true, r.about(d, &checked)
		}
		there = there || name == must
		return take(name, d)
	})
	switch {
	case err != nil:
		return err
	case !checked:
		return lying("it does not say which image it is about")
	case !there:
		return lying("%q is missing", must)
	}
	return nil
}

func (r *Report) readVulnerabilities(in io.Reader) error {
	err := r.read(in, "vulnerabilities", func(name string, d *json.Decoder) (bool, error) {
		if name != "vulnerabilities" {
			return false, nil
		}
		return true, r.list(d, func(d *json.Decoder) error {
			var f reportedFinding
			if err := d.Decode(&f); err != nil {
				return err
			}
			return r.add(&f)
		})
	})
	r.Scan.Matched = err == nil
	return err
}

func (r *Report) add(f *reportedFinding) error {
	var vendor struct {
		PURL  string `json:"purl"`
		Path  string `json:"path"`
		Title string `json:"title"`
	}
	if len(f.Vendor) > 0 {
		_ = json.Unmarshal(f.Vendor, &vendor) // other adapters put there what they like
	}
	x := core.Finding{ID: clip(f.ID, maxID), Severity: core.Severity(f.Severity), Package: clip(f.Package, maxName), Version: clip(f.Version, maxName),
		Fixed: clip(f.FixVersion, maxName), Path: clip(vendor.Path, maxPath)}
	if strings.HasPrefix(vendor.PURL, "pkg:") && len(vendor.PURL) <= maxPURL {
		x.PURL = clip(vendor.PURL, maxPURL)
	}
	if f.Layer != nil {
		x.Layer = clip(f.Layer.Digest, maxID)
	}
	switch {
	case x.ID == "" || x.ID != f.ID || strings.ContainsRune(x.ID, ' '):
		return lying("a vulnerability is named %q", x.ID)
	case x.Package == "":
		return lying("it does not say which package has %s", x.ID)
	case x.Severity == "":
		x.Severity = core.SeverityUnknown
	case x.Severity.Rank() < 0:
		return lying("%s has the severity %q, which is none", x.ID, clip(f.Severity, maxID))
	}
	key := findingKey{x.ID, x.Package, x.Version, x.PURL}
	if i, known := r.found[key]; known {
		worsen(&r.Scan.Findings[i], &x)
	} else {
		r.found[key] = len(r.Scan.Findings)
		r.Scan.Findings = append(r.Scan.Findings, x)
	}
	r.describe(x.ID, x.Severity, vendor.Title, f)
	return nil
}
