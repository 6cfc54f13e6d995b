// Package image fetches one image by digest into a directory and takes the measure of its layers before a scanner sees
// them: every byte is checked against its digest, every layer against the configuration that names it, and what is too
// much or would leave the image is an error that says so.
//
// It runs in the child, beside the scanner. It imports registry and registry/remote, which speak to the registry, and
// compression from outside. Read fetch.go first.
package image
