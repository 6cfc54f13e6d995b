// Package remote is a registry.Registry over another registry's HTTP: OCI distribution 1.1, and what registries that
// implement less of it leave to their clients. Replication and the proxy cache stand on it.
//
// It trusts the other side with nothing: credentials go to its host only, every byte is checked against its digest,
// every answer has a limit. It uses net/http and no client library, because each of those rules needs a say in every
// single request. It may import the standard library, go-digest, image-spec and registry. Read remote.go first, then
// request.go, which all requests pass.
package remote
