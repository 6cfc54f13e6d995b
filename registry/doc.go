// Package registry is the OCI noun: what a registry is, in Go, and what its parts are called.
//
// Read registry.go first: Registry is the one interface that everything else implements (local, remote) or wraps
// (access, gate). manifest.go parses manifests, name.go names, errors.go has the closed set of error codes.
// It imports the standard library, go-digest, image-spec and a strict JSON reader, and nothing of ours.
package registry
