// Package scannertest is a scanner adapter for tests: it speaks the pluggable-scanner API over HTTP, reports what a test tells it
// to, and can be as hostile as one can be. It imports the standard library alone, and is read by the names of its behaviours.
package scannertest
