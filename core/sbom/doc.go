// Package sbom reads software bills of materials: SPDX 2.2, 2.3 and 3.0 and CycloneDX 1.2 to 1.7, as JSON, into a list of
// packages. It is pure, and takes nothing for granted: documents are written by strangers, and every size in here is
// bounded. Whether a document is to be believed is not asked here.
//
// It may import core. Read read.go first, then spdx.go, cyclonedx.go and purl.go.
package sbom
