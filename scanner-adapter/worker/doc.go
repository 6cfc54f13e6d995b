// Package worker runs one job in one child: it makes the directory, hands the job over, and believes of the answer only
// what has the form of one. It imports job and sandbox. Read worker.go first.
package worker
