//go:build race

package local_test

// raceEnabled: the race detector allocates.
const raceEnabled = true
