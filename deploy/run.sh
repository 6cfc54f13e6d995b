#!/usr/bin/env bash
# make run: looks whether everything needed is there, builds the hub and starts it with all it stores under ./data.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*"; }
stop() { say "$*" >&2; exit 1; }

listen=${HALLMARK_LISTEN:-127.0.0.1:8080}
host=${listen%:*}
host=${host#[} host=${host%]}
case $host in '' | 0.0.0.0 | ::) host=127.0.0.1 ;; esac

command -v go >/dev/null || stop "Go 1.26 is needed and not found: see https://go.dev/doc/install"
have=$(go env GOVERSION)
[[ $(printf '%s\n' go1.26 "$have" | sort -V | head -n1) == go1.26 ]] || stop "Go 1.26 is needed; this is $have"
free=$(df -Pk . | awk 'NR==2 {print int($4/1024)}')
[ "$free" -ge 2048 ] || stop "2 GiB of disk are needed to build; $free MiB are free here"
# Said before the build. Where a file has the address, the hub itself says so after it.
if [ -z "${HALLMARK_LISTEN_FILE:-}${HALLMARK_CONFIG_FILE:-}" ] && (exec 3<>"/dev/tcp/$host/${listen##*:}") 2>/dev/null; then
	stop "$listen is in use by another program: end that, or choose another address: HALLMARK_LISTEN=127.0.0.1:8090 make run"
fi

began=$SECONDS
say "Building (the first time takes about two minutes; downloads are Go modules) ..."
make --no-print-directory build >/dev/null &
build=$!
# A line now and then, so that nobody thinks it hangs.
while kill -0 "$build" 2>/dev/null; do
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "$build" 2>/dev/null || break
		sleep 1
	done
	kill -0 "$build" 2>/dev/null && say "  ... $((SECONDS - began)) s"
done
wait "$build" || stop "The build failed; the lines above say why. If a download hangs, check HTTPS_PROXY and GOPROXY."
say "Built in $((SECONDS - began)) s."
exec bin/hallmark serve
