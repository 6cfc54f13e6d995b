//go:build !race

package gatekeeper_test

// many is how much is pushed beside an image.
const many = 10_000
