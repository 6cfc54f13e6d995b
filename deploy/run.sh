#!/usr/bin/env bash
# make run: looks whether everything needed is there, builds the hub, starts it with all it stores under ./data, and builds its scanner.
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

# answers waits until the hub answers requests, but not forever: with a configuration file it may be elsewhere.
answers() {
	local line
	for _ in $(seq 300); do
		if { exec 3<>"/dev/tcp/$host/${listen##*:}" && printf 'GET /livez HTTP/1.0\r\n\r\n' >&3 && read -r -t 5 line <&3; } 2>/dev/null && [[ $line == HTTP/* ]]; then
			return
		fi
		sleep 0.2
	done
}

# scanner builds the scanner while the hub serves; the hub starts it then.
scanner() {
	answers
	local began=$SECONDS said=$SECONDS build
	make --no-print-directory scanner >/dev/null &
	build=$!
	while kill -0 "$build" 2>/dev/null; do
		sleep 1
		[ $((SECONDS - said)) -ge 30 ] || continue
		said=$SECONDS
		say "  ... building the scanner at low priority, $((SECONDS - began)) s (six to eight minutes the first time); what is pushed meanwhile is scanned after it"
	done
	if wait "$build"; then
		[ $((SECONDS - began)) -lt 30 ] || say "The scanner is built, in $((SECONDS - began)) s, and joins."
	else
		say "The scanner could not be built; the lines above say why. The hub goes on without it; make scanner tries again."
	fi
	rm -f bin/scanner-adapter.building
}

[ "${SCANNER:-}" != off ] || export HALLMARK_SCANNER=off
unset SCANNER
builder=
case ${HALLMARK_DB:-} in postgres*) unasked=off ;; *) unasked=exec: ;; esac # as the hub has it
if [ "${HALLMARK_SCANNER:-$unasked}" = exec: ] && [ "$(uname -s)" = Linux ]; then
	: >bin/scanner-adapter.building # the hub starts no program that is being written
	set -m # a group of processes of its own, which can be ended whole
	scanner &
	builder=$!
	set +m
fi
bin/hallmark serve &
hub=$!
# Ctrl-C reaches the hub as well as this script; a signal to this script alone is passed on.
trap 'kill -TERM "$hub" 2>/dev/null || true' TERM INT HUP
status=0
while kill -0 "$hub" 2>/dev/null; do
	status=0
	wait "$hub" || status=$?
done
[ "$status" -le 128 ] || status=0 # what the signal did to the waiting, not to the hub
if [ -n "$builder" ]; then
	kill -TERM -- "-$builder" 2>/dev/null || true
	wait "$builder" 2>/dev/null || true
	rm -f bin/scanner-adapter.building
fi
exit "$status"
