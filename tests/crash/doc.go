// Package crash kills the built hub in the middle of its work and checks what is left. Jobs need HALLMARK_TEST_POSTGRES.
//
//	go test -count=1 -tags crash ./tests/crash
//
// Tests are named after the rows of the fault list (F-..) and its invariants (I..). They read these variables:
//
//	HALLMARK_BIN  the binary under test (default: bin/hallmark of this tree)
//	CRASH_SEEDS   histories of random pushes, pulls, deletes and kills (default 5; 20 and more imply CRASH_LONG)
//	CRASH_SEED    replay one history: the same operations, though not the same interleaving
//	CRASH_KILLS   kills in each history (default 20)
//	CRASH_LONG=1  kill at every system call instead of 40 of them
//	CRASH_KEEP=1  keep the directories of the hubs that failed
//
// Read checker_test.go and history_test.go first; hub_test.go starts and kills the process.
package crash
