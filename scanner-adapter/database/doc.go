// Package database keeps the vulnerability database of Trivy, and its index of Java archives: where they come from (a
// registry, a directory, a file that somebody uploads), whether they are whole, how old they are, and which scans still
// use one that was replaced. A database that does not pass the check never takes the place of one that did. It imports
// image, for its way to speak to registries. Read store.go first.
package database
