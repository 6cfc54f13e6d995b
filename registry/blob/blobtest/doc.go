// Package blobtest is the contract of blob.Store as tests. Run it on every implementation; a store that passes keeps
// what registry/local relies on. It imports registry/blob, go-digest and testing. Read run.go first.
package blobtest
