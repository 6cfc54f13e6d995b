package job

import (
	"encoding/json"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// Kinds of jobs.
const (
	Scan  = "scan"
	Check = "check" // whether a database is whole
	Match = "match" // SBOMs, one after the other
)

// SBOM is what the report of an SBOM calls it.
const SBOM = "sbom"

// Job is what a child is to do. It holds the image's token, so it is never logged.
type Job struct {
	Kind     string
	Database string // directory with db and java-db

	Source             image.Source
	Repository, Digest string
	Limits             image.Limits
	Memory             int64 // what the collector of garbage aims to stay below
	CPUs               int

	Vulnerabilities, Extras, SPDX, CycloneDX bool
	Version                                  string

	Components int // of an SBOM, at most
}

// Result is what a child found: reports, or the reason why there are none.
type Result struct {
	Failure   *image.Error    `json:",omitempty"`
	Report    json.RawMessage `json:",omitempty"`
	SPDX      json.RawMessage `json:",omitempty"`
	CycloneDX json.RawMessage `json:",omitempty"`
	// Incomplete is why the findings of Report cannot be all there are.
	Incomplete string `json:",omitempty"`
}
