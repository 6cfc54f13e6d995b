// Package server serves a registry.Registry over HTTP: OCI distribution specification 1.1 and Docker's registry protocol.
//
// It parses with registry/request, asks the Registry and writes what it says; it holds no policy and no state. It may
// import registry, registry/request and a JSON reader; nobody but wire.go imports it. Read server.go first, then
// errors.go, which is the only place where an error becomes a response. stream.go has the rules against slow clients.
package server
