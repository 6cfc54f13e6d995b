#!/usr/bin/env bash
# Formatting, vet, linters, and a few rules of our own that no linter knows.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
say() { echo "$1" >&2; bad=1; }

unformatted=$(gofmt -l $(git ls-files '*.go' 2>/dev/null || find . -name '*.go'))
[ -z "$unformatted" ] || say "not formatted (gofmt -w): $unformatted"
for f in $(git ls-files '*.sh' '.ci/run'); do bash -n "$f" || bad=1; done
for f in $(git ls-files '*.go' | grep -vE '\.gen\.go$'); do
	n=$(wc -l <"$f")
	[ "$n" -le 500 ] || say "$f has $n lines; split it: 500 at most, 300 is better"
done
if git grep -nE 'time\.Sleep' -- '*_test.go'; then say "tests wait for signals and never sleep"; fi
if git grep -nE 'TODO|FIXME|\bXXX\b' -- '*.go' '*.sh' ':!tests/lint.sh'; then say "unfinished work in the tree"; fi
if git grep -nE '"(Harbor12345|admin123)"' -- ':!*_test.go' ':!core/auth/breached.txt'; then say "a default password"; fi

bash tests/tools/build.sh golangci-lint >/dev/null
tools=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
"$tools/bin/golangci-lint" run ./... || bad=1
[ "$bad" = 0 ] && echo "lint: fine"
exit "$bad"
