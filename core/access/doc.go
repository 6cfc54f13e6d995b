// Package access says who may do what. table.go is the one table of roles and actions, pattern.go what a grant reaches,
// guard.go asks both for a principal as it is right now, scope.go translates the scopes of docker's token protocol, and
// registry.go is the wrapper around a registry.Registry that lets nothing else through.
//
// It knows both nouns: it imports core, core/store and registry. Read table.go first.
package access
