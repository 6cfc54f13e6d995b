// Package local is the registry over SQL and a blob store: metadata are rows, bytes lie under opaque keys.
//
// Read local.go (what it is made of), then read.go for the way of a pull, upload.go, session.go and commit.go for that
// of a blob that is pushed, and manifest.go for that of a manifest. It knows no rights and no policy: those wrap it. What
// must happen inside a push's transaction (audit, jobs) is a hook, Options.Record. It imports core, core/db, registry
// and registry/blob.
package local
