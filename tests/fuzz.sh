#!/usr/bin/env bash
# Fuzzes every fuzz target of the module for FUZZTIME each (default 60s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-60s}
found=0
while IFS=: read -r file _ rest; do
	name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/' <<<"$rest")
	dir=$(dirname "$file")
	echo "== $dir $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$dir"
	found=$((found + 1))
done < <(grep -rnE '^func Fuzz[A-Za-z0-9_]+\(' --include='*_test.go' .)
[ "$found" -gt 0 ] || { echo "there is no fuzz target" >&2; exit 1; }
echo "$found fuzz targets, nothing found."
