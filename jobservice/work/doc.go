// Package work holds what the hub does in jobs: one file for each kind, which says what the payload is and returns the
// jobservice.Spec that cmd registers.
//
// It may import core, core/db, core/store, core/webhook, jobservice, registry and registry/blob. To add a kind: a file here, a line in
// cmd/hallmark/wire.go, and a test that runs it twice. Read sweep_uploads.go first.
package work
