// Package inventory knows which packages are in what: it reads bills of materials that were pushed, stores what they list,
// and answers what is in an artifact, what differs between two, and what has a package.
//
// A document counts by who stands behind it: attested by somebody who is registered now, or the hub's own scanner; what
// nobody signed is shown as that, and found only by who asks for it. Index is the one way in, whatever the source.
//
// Of vulnerabilities it tells what scanners found (findings.go, project.go) and what has one (affected.go), under whatever names
// somebody imported (aliases.go).
//
// It may import core, core/gatekeeper (who is trusted, what lies where), core/sbom, core/store, core/trust and registry. Read
// index.go first, then document.go and search.go.
package inventory
