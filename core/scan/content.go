package scan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
)

// worsen adds to a finding what another one of the same vulnerability in the same package says: whatever is worse.
func worsen(have, also *core.Finding) {
	if also.Severity.Rank() > have.Severity.Rank() {
		have.Severity = also.Severity
	}
	have.Fixed = cmp.Or(have.Fixed, also.Fixed)
}

// describe keeps what is said of a vulnerability, once for all packages that have it.
func (r *Report) describe(id string, severity core.Severity, title string, f *reportedFinding) {
	if i, known := r.told[id]; known {
		if v := &r.Vulnerabilities[i]; severity.Rank() > v.Severity.Rank() {
			v.Severity = severity
		}
		return
	}
	if title == "" {
		title, _, _ = strings.Cut(f.Description, "\n")
	}
	v := core.Vulnerability{ID: id, Severity: severity, Title: clip(title, maxTitle), Description: clipLines(f.Description, maxDescription)}
	for _, l := range f.Links {
		// Whoever shows them makes links of them, so only those of the web are kept.
		if len(v.Links) < maxLinks && len(l) <= maxLink && clip(l, maxLink) == l && (strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "http://")) {
			v.Links = append(v.Links, l)
		}
	}
	for _, w := range f.CWEs {
		if w = clip(w, 20); w != "" && len(v.CWEs) < maxLinks {
			v.CWEs = append(v.CWEs, w)
		}
	}
	if c := f.CVSS; c != nil {
		switch {
		case c.ScoreV3 != nil && *c.ScoreV3 > 0 && *c.ScoreV3 <= 10:
			v.Score, v.Vector = *c.ScoreV3, clip(c.VectorV3, maxTitle)
		case c.ScoreV2 != nil && *c.ScoreV2 > 0 && *c.ScoreV2 <= 10:
			v.Score, v.Vector = *c.ScoreV2, clip(c.VectorV2, maxTitle)
		}
	}
	r.told[id] = len(r.Vulnerabilities)
	r.Vulnerabilities = append(r.Vulnerabilities, v)
}

func (r *Report) readContent(in io.Reader) error {
	s := r.Scan
	err := r.read(in, "looked", func(name string, d *json.Decoder) (bool, error) {
		switch name {
		case "incomplete":
			var why string
			err := d.Decode(&why)
			s.Incomplete = clip(why, maxSentence)
			return true, err
		case "looked":
			return true, r.list(d, func(d *json.Decoder) error {
				var kind core.CheckKind
				if err := d.Decode(&kind); err != nil {
					return err
				}
				s.Looked = append(s.Looked, kind)
				return nil
			})
		case "checks":
			return true, r.list(d, func(d *json.Decoder) error {
				var c core.Check
				if err := d.Decode(&c); err != nil {
					return err
				}
				return r.addCheck(&c)
			})
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	for i := range s.Checks { // of what was found was looked for
		if !slices.Contains(s.Looked, s.Checks[i].Kind) {
			s.Looked = append(s.Looked, s.Checks[i].Kind)
		}
	}
	slices.Sort(s.Looked)
	s.Looked = slices.Compact(s.Looked)
	if len(s.Looked) > maxKinds {
		return lying("it looked for more than %d kinds of things", maxKinds)
	}
	for _, kind := range s.Looked {
		if !kindWord(kind) {
			return lying("%q is no kind of a check: it is a word in lower case", clip(string(kind), maxID))
		}
	}
	return nil
}

func kindWord(kind core.CheckKind) bool {
	return kind != "" && len(kind) <= 40 && strings.Trim(string(kind), "abcdefghijklmnopqrstuvwxyz-") == "" && kind[0] != '-'
}

func (r *Report) addCheck(c *core.Check) error {
	if c.ID = clip(c.ID, maxID); c.ID == "" {
		return lying("a check of the kind %q has no id", clip(string(c.Kind), maxID))
	}
	if c.Severity != "" && c.Severity.Rank() < 0 {
		return lying("%s has the severity %q, which is none", c.ID, clip(string(c.Severity), maxID))
	}
	c.Title, c.Path, c.Layer, c.Class = clip(c.Title, maxTitle), clip(c.Path, maxPath), clip(c.Layer, maxID), clip(c.Class, maxID)
	r.Scan.Checks = append(r.Scan.Checks, *c)
	return nil
}

func (r *Report) readSBOM(in io.Reader, mediaType string) error {
	var document json.RawMessage
	said := ""
	err := r.read(in, "sbom", func(name string, d *json.Decoder) (bool, error) {
		switch name {
		case "media_type":
			return true, d.Decode(&said)
		case "sbom":
			return true, d.Decode(&document)
		}
		return false, nil
	})
	switch {
	case err != nil:
		return err
	case !same(said, mediaType):
		return lying("its bill of materials is %q and not %s", clip(said, maxID), mediaType)
	case !bytes.HasPrefix(document, []byte("{")):
		return lying("its bill of materials is no document")
	}
	r.SBOMs = append(r.SBOMs, SBOM{MediaType: mediaType, Document: document})
	return nil
}

// settle drops what was needed while reading.
func (r *Report) settle() { r.found, r.told = nil, nil }

// clip makes one printable line of a text, of at most so many bytes.
func clip(s string, most int) string {
	return strings.Join(strings.Fields(clipLines(s, most)), " ")
}

// clipLines is clip that leaves lines.
func clipLines(s string, most int) string {
	if len(s) > most { // the rest is not looked at, however much it is
		s = s[:most]
		for range utf8.UTFMax {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, s))
}
