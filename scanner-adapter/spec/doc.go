// Package spec is the Pluggable Scanner Adapter API 1.2 of Harbor in types: media types, the request of a scan, the
// metadata and the reports. It imports the standard library alone. Read media.go first.
package spec
