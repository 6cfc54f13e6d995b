// Package blob is where the bytes of a registry lie: durable, dumb, under opaque keys.
//
// It knows nothing of repositories, digests' meaning or rights: those are rows of the database. It may import the
// standard library and go-digest. Read store.go first; disk is the default, memory serves tests and can be told to
// fail, driver stands on distribution's storage drivers (S3). blobtest is the contract all of them keep.
package blob
