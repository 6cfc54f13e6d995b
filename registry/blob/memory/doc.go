// Package memory is blob.Store in a map, for tests: it can be told to fail, to stall and to lose its power.
//
// Unlike a mock it keeps the whole contract (blobtest runs on it). It imports the standard library and go-digest. Read
// faults.go for what can go wrong, store.go for the rest.
package memory
