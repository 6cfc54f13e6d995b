#!/usr/bin/env bash
# Measures the search for a package over 100,000 artifacts of 300 packages each, generated, on SQLite and on Postgres: about
# ten minutes and 5 GB of disk, which are given back. BENCH_ARTIFACTS: another number of artifacts.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/hallmark-large.XXXXXX") # not in /tmp, which on many machines is memory
chmod 0711 "$work"
trap 'bash "$root/tests/servers.sh" stop "$work/servers" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$root"
go build -o "$work/packages" ./tests/load/packages
failed=0
"$work/packages" -db "sqlite://$work/hallmark.db" -artifacts "${BENCH_ARTIFACTS:-100000}" || failed=1
rm -f "$work"/hallmark.db*
bash tests/servers.sh start "$work/servers" >/dev/null
. "$work/servers/env"
"$work/packages" -db "$HALLMARK_TEST_POSTGRES" -artifacts "${BENCH_ARTIFACTS:-100000}" || failed=1
exit $failed
