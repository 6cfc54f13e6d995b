// Package adapter runs the scanner adapter beside the hub: it waits for the binary, starts it with a credential of its own, starts
// it again when it dies, passes on what it logs, and ends it. It knows nothing of scans. It imports nothing of ours.
package adapter
