// Package gate says whether content may be pulled. Decide is the product: a pure function of the policies in force, of
// what is registered, of the evidence found and of the time. Nothing in it reads, writes or asks the network.
//
// A policy is read in three steps: decode.go (YAML or JSON with line numbers), validate*.go (what cannot work is refused),
// policy.go (the compiled form, immutable). check.go compares it with what is registered, when it is saved. decide.go
// folds policies into one Decision, evaluate.go rules, counts.go single pieces of evidence; scanned.go asks what scans found,
// vulnerabilities.go and compliance.go say what of that is refused, vex.go and attested.go read what somebody states about it. What
// it says stands in sentences*.go, in every language (phrase.go).
//
// It imports core, core/sbom for package URLs, a YAML and a CEL library. Read policy.go, then decide.go.
package gate
