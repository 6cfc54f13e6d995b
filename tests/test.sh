#!/usr/bin/env bash
# Runs the tests: check (fast, no servers), test (what CI runs), all (everything), or one group: e2e, crash, scanner.
# What is missing is installed where it can be (root on Debian, Go). With CI=true nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-test}
began=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/hallmark-test.XXXXXX")
trap 'bash tests/servers.sh stop "$work/servers" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

step() { # step TITLE COMMAND...: runs a command and says how long it took
	local title=$1 at=$SECONDS
	shift
	echo "== $title"
	"$@"
	echo "== $title: $((SECONDS - at)) s"
}

# What runs with the race detector; it makes SQLite 5 to 12 times slower.
raced_plain=(./core ./core/access/... ./core/gate/... ./core/seal/... ./core/web/... ./registry ./registry/request/... ./registry/server/... ./registry/remote/...
	./registry/registrytest/... ./registry/blob/... ./jobservice/queue/...)
raced_sql=(./core/db/... ./core/store/... ./core/auth/... ./core/gatekeeper/... ./core/ledger/... ./registry/local/... ./jobservice)

if [ "$mode" = check ]; then
	step "vet" go vet ./...
	step "unit tests" go test -short -timeout 120s ./...
	exit
fi

# The scanner adapter is a module of its own; its tests need no server. Trivy is linked once, for the tests of the binary.
scanner() {
	step "scanner: build" make scanner
	(
		cd scanner-adapter
		export GOEXPERIMENT=jsonv2 CGO_ENABLED=0 # another value would compile Trivy twice
		step "scanner: vet" go vet ./...
		step "scanner: tests" go test -timeout 300s $(go list ./... | grep -v /e2e$)
		CGO_ENABLED=1 step "scanner: race" go test -race -timeout 600s ./service ./database ./worker ./image
		ADAPTER_BIN=$PWD/../bin/scanner-adapter step "scanner: real and hostile images" go test -count=1 -timeout 900s ./e2e
	)
}

if [ "$mode" = scanner ]; then
	scanner
	exit
fi

if [ "$mode" = crash ]; then
	step "install tools" bash tests/tools/apt.sh db crash
else
	step "install tools" bash tests/tools/apt.sh compiler db clients image crash
	step "build tools" bash tests/tools/build.sh crane regctl oras helm cosign cosign2 versitygw distribution
fi
tools=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
export PATH=$tools/bin:$PATH
step "build" make build
export HALLMARK_BIN=$PWD/bin/hallmark
step "start servers" bash tests/servers.sh start "$work/servers" >/dev/null
. "$work/servers/env"

unit() {
	step "vet with tags" go vet -tags e2e,crash ./...
	step "unit and contract tests" go test -timeout 900s ./...
	CGO_ENABLED=1 step "race: packages without SQL" go test -race -timeout 600s "${raced_plain[@]}"
	CGO_ENABLED=1 step "race: packages on both engines" go test -race -timeout 1800s "${raced_sql[@]}"
}
e2e() { # e2e STACKS [CLIENTS]: without clients all of them
	case ",${2:-scan}," in *,scan,*) step "scanner: build" make scanner ;; esac
	E2E_STACKS=$1 E2E_CLIENTS=${2:-} step "clients ${2:-} on $1" go test -tags e2e -count=1 -timeout 1800s ./tests/e2e
}
crash() { # crash SEEDS
	CRASH_SEEDS=$1 step "crash, $1 seeds" go test -tags crash -count=1 -timeout 3600s ./tests/crash
}

case $mode in
e2e) e2e "${E2E_STACKS:-sqlite,postgres}" "${E2E_CLIENTS:-}" ;;
crash) crash "${CRASH_SEEDS:-5}" ;;
test)
	unit
	e2e sqlite docker,crane,oras,helm,cosign,cosign2,gate,existing,scan
	e2e postgres docker,cosign,gate,existing,scan
	crash 3
	scanner
	;;
all)
	unit
	e2e sqlite,postgres
	crash 50
	scanner
	FUZZTIME=60s step "fuzz" bash tests/fuzz.sh
	;;
*) echo "usage: tests/test.sh check|test|all|e2e|crash|scanner" >&2; exit 2 ;;
esac
echo "All of '$mode' passed in $((SECONDS - began)) s."
