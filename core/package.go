package core

// Package is one package that a bill of materials lists, in the parts of its normalised package URL (core/sbom reads and
// writes those). Type and Name are never "".
type Package struct {
	Type      string // golang, npm, deb ..
	Namespace string // golang.org/x, @babel, debian ..; may be ""
	Name      string
	Version   string // "" if it is not said
	// Rest is what follows the version in a package URL, qualifiers and subpath with their "?" and "#"; "" if there is none.
	Rest string
	// Licences is the licence expression, or what stands in its place; "" if none is said.
	Licences string
}

// SBOMSource is where a bill of materials comes from, which decides how far it can be believed.
type SBOMSource string

// The sources.
const (
	// SBOMAttested: an attestation whose signature was verified. Whether its signer is trusted is asked anew by each read.
	SBOMAttested SBOMSource = "attestation"
	// SBOMUnsigned: a document that nobody signed, or nobody known.
	SBOMUnsigned SBOMSource = "unsigned"
	// SBOMScanned: made by the hub's own scanner.
	SBOMScanned SBOMSource = "scanner"
)
