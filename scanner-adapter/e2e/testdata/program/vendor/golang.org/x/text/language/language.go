// Package language stands in for the real one.
package language

// Name is all there is.
const Name = "stand-in"
