// Package scannertest makes images, good and hostile ones, and serves them like a registry does. For tests only.
package scannertest
