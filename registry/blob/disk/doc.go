// Package disk is blob.Store over a local directory, the default.
//
// An upload is the file uploads/<upload>. Commit syncs it, renames it to <algorithm>/<2 hex digits>/<hex>.<upload> and
// syncs that directory and whatever directory above it may not be durable yet; the relative path is the key. Any other
// relative path is a key as well, so that a tree of distribution or Harbor can be adopted where it lies. Files are
// 0600, directories 0700.
//
// It imports the standard library and go-digest. Read store.go, then writer.go; durable.go is about directories.
package disk
