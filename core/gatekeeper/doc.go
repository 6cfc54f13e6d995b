// Package gatekeeper stands in front of a registry and asks core/gate about every read. It has what a decision needs:
// the documents in force in a project (material.go), the evidence of a digest (evidence.go), read from what is pushed and
// again when keys change, and the verdicts that still hold (verdict.go).
//
// Wrap (registry.go) is the wrapper; it goes below core/access, so that who may not pull learns nothing of verdicts. What
// cannot be found out is refused. What was refused or excused is told to whoever keeps the audit trail (note.go). What is
// in use is not removed by mistake (remove.go).
//
// It knows both nouns. Read registry.go, then verdict.go.
package gatekeeper
