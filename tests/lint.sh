#!/usr/bin/env bash
# Formatting, vet, linters, and a few rules of our own that no linter knows.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
say() { echo "$1" >&2; bad=1; }
# forbid SENTENCE PATTERN PATHS...: complains if a file of the tree has the pattern, and ends if that cannot be found out.
forbid() {
	local sentence=$1 pattern=$2 status=0
	shift 2
	git grep -nE "$pattern" -- "$@" || status=$?
	case $status in
	0) say "$sentence" ;;
	1) ;;
	*) echo "lint.sh: git grep failed: a git checkout of its own user is needed" >&2; exit 1 ;;
	esac
}

files=$(git ls-files '*.go') && [ -n "$files" ] || { echo "lint.sh: no Go files in a git checkout here" >&2; exit 1; }
unformatted=$(gofmt -l $files)
[ -z "$unformatted" ] || say "not formatted (gofmt -w): $unformatted"
for f in $(git ls-files '*.sh' '.ci/run'); do bash -n "$f" || bad=1; done
for f in $(grep -vE '\.gen\.go$' <<<"$files"); do
	n=$(wc -l <"$f")
	[ "$n" -le 500 ] || say "$f has $n lines; split it: 500 at most, 300 is better"
done
forbid "tests wait for signals and never sleep" 'time\.Sleep' '*_test.go'
forbid "unfinished work in the tree" 'TODO|FIXME|\bXXX\b' '*.go' '*.sh' ':!tests/lint.sh'
forbid "a default password" '"(Harbor12345|admin123)"' ':!*_test.go' ':!core/auth/breached.txt' ':!tests/lint.sh'

bash tests/tools/build.sh golangci-lint >/dev/null
tools=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
"$tools/bin/golangci-lint" run ./... || bad=1
(cd scanner-adapter && CGO_ENABLED=0 GOEXPERIMENT=jsonv2 "$tools/bin/golangci-lint" run --config ../.golangci.yaml ./...) || bad=1
[ "$bad" = 0 ] && echo "lint: fine"
exit "$bad"
