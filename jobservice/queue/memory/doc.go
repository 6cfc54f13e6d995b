// Package memory is the queue of a hub that is one process.
package memory
