package core

import "time"

// Severity is how bad a vulnerability is, in the words of Harbor's pluggable-scanner API 1.2.
type Severity string

// The severities.
const (
	SeverityUnknown    Severity = "Unknown"
	SeverityNegligible Severity = "Negligible"
	SeverityLow        Severity = "Low"
	SeverityMedium     Severity = "Medium"
	SeverityHigh       Severity = "High"
	SeverityCritical   Severity = "Critical"
)

// Severities are all there are, the least bad first. Of one that is unknown nobody has said how bad it is.
func Severities() []Severity {
	return []Severity{SeverityUnknown, SeverityNegligible, SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}
}

// Rank is the place in Severities; -1 of a word that is none.
func (s Severity) Rank() int {
	for i, known := range Severities() {
		if s == known {
			return i
		}
	}
	return -1
}

// Scan is what one scanner found in an image: facts. What they come to, the gate decides anew each time.
type Scan struct {
	Scanner    string    `json:"-"` // name under which it is registered
	ScannedAt  time.Time `json:"-"` // when it was found, or confirmed with newer data; zero: never
	DatabaseAt time.Time `json:"-"` // how new the vulnerability data were; zero: the scanner does not say
	// Problem is why the last try came to no report, if it did not. What was found before that is there all the same.
	Problem string `json:"-"`

	// Findings are in order of Finding.Less, each vulnerability once for a package in a version.
	Findings []Finding `json:"findings,omitempty"`
	Checks   []Check   `json:"checks,omitempty"`
	// Looked are the kinds of checks that were made, whether they found something or not, in order. What was not looked for is
	// not clean.
	Looked []CheckKind `json:"looked,omitempty"`
	// Matched says that vulnerabilities were looked for: a scanner of malware alone reports none of them either way.
	Matched bool `json:"matched,omitempty"`
	// Image is what the image says about itself; nil if that could not be read.
	Image *ImageFacts `json:"image,omitempty"`
	// Incomplete is why Findings cannot be all there are, such as a distribution that the scanner does not know. An image
	// whose findings are incomplete does not count as scanned for vulnerabilities. "" if they are complete.
	Incomplete string `json:"incomplete,omitempty"`
}

// Scanned reports whether there is a report.
func (s *Scan) Scanned() bool { return !s.ScannedAt.IsZero() }

// Finding is a vulnerability in a package of an image.
type Finding struct {
	ID       string   `json:"id"` // CVE-2024-1, GHSA-..
	Severity Severity `json:"severity"`
	Package  string   `json:"package"` // as the scanner names it
	Version  string   `json:"version"`
	PURL     string   `json:"purl,omitempty"`  // package URL with the version; "" if the scanner does not say
	Fixed    string   `json:"fixed,omitempty"` // versions that have it no more; "" if there are none
	Path     string   `json:"path,omitempty"`  // of the file that the package was found in
	Layer    string   `json:"layer,omitempty"` // digest of the layer
}

// Check is something in an image that is no vulnerability and may not be wanted.
type Check struct {
	Kind     CheckKind `json:"kind"`
	ID       string    `json:"id"` // of the rule that found it, or the licence
	Severity Severity  `json:"severity,omitempty"`
	Title    string    `json:"title,omitempty"`
	Path     string    `json:"path,omitempty"` // of the file, or the package
	Layer    string    `json:"layer,omitempty"`
	Class    string    `json:"class,omitempty"` // of a licence: forbidden, restricted, reciprocal, notice, permissive, unencumbered, unknown
}

// CheckKind is what a check looks for. Other scanners may report others, such as malware: a lower-case word.
type CheckKind string

// The kinds that the hub's own scanner reports.
const (
	CheckSecret           CheckKind = "secret"
	CheckLicence          CheckKind = "licence"
	CheckMisconfiguration CheckKind = "misconfiguration"
)

// ImageFacts are what the configuration of an image says.
type ImageFacts struct {
	User   string            `json:"user,omitempty"` // "" is root
	Labels map[string]string `json:"labels,omitempty"`
}

// Vulnerability is what a scanner says of one, wherever it is found.
type Vulnerability struct {
	ID          string   `json:"-"`
	Severity    Severity `json:"-"`
	Title       string   `json:"-"`
	Description string   `json:"description,omitempty"`
	Links       []string `json:"links,omitempty"`
	Score       float64  `json:"score,omitempty"`  // CVSS 3, else 2; 0: none
	Vector      string   `json:"vector,omitempty"` // of that score
	CWEs        []string `json:"cwes,omitempty"`
}

// Exception is a vulnerability that somebody answers for, until a day.
type Exception struct {
	ID            string
	Vulnerability string
	PURL          string // "": in every package; without a version: in every version of it
	Repository    string // whole name; "": in the whole project
	Reason        string
	ExpiresAt     time.Time
	CreatedBy     string
	CreatedAt     time.Time
}
