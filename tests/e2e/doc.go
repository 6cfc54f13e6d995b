// Package e2e drives the built hub with the clients people use: docker, ctr,
// podman, buildah, skopeo, crane, regctl, oras, helm and both cosigns.
//
//	tests/tools/build.sh && tests/tools/apt.sh db clients image
//	go test -count=1 -tags e2e ./tests/e2e
//
// The second line needs root for docker, ctr, podman and buildah. The tests read these
// variables:
//
//	HALLMARK_BIN   the binary under test          (default: bin/hallmark of this tree)
//	HALLMARK_TOOLS the cache of tests/tools       (default: hallmark/tools in the user's cache)
//	E2E_STACKS     sqlite, postgres               (default: both)
//	E2E_CLIENTS    the tests to run, see clients, gate and existing (default: all)
//	E2E_REQUIRE=1  as with CI=true: a missing tool fails the test instead of skipping it
//	E2E_LOGS       directory that keeps the servers' logs
//	E2E_TRACE=1    put a recording proxy before the hub; its log is trace.log
package e2e
