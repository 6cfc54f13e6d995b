// Package driver is blob.Store over the storage drivers of github.com/distribution/distribution: S3 always, GCS and
// Azure behind the build tags gcs and azure, and its file system driver.
//
// It is the only package that imports distribution (and the S3 SDK that its driver uses, to sign URLs). Read store.go
// for what lies where, then writer.go; kinds.go is the table of drivers, with one file for each.
package driver
