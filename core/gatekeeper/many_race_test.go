//go:build race

package gatekeeper_test

// many is less than it is without the race detector, which looks for something else and makes SQLite ten times slower.
const many = 1_000
