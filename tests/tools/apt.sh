#!/usr/bin/env bash
# Installs the Debian packages the tests and benchmarks drive, when their commands
# are missing. Usage: apt.sh [group...]   groups: compiler db clients image bench crash s3
# Exit 3: something is missing that cannot be installed here; it says what and why.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

all=(compiler db clients image bench crash s3)

# "package:command" pairs. dockerd rather than docker is asked for, because a
# client without an engine is common and is no use to the tests.
pairs() {
  case $1 in
    compiler) echo gcc:gcc libc6-dev:/usr/include/stdlib.h ;; # the race detector is written in C
    db)      echo postgresql:initdb redis-server:redis-server ;;
    clients) echo docker.io:dockerd containerd:containerd skopeo:skopeo podman:podman crun:crun buildah:buildah ;;
    image)   echo mmdebstrap:mmdebstrap ;;
    bench)   echo nginx:nginx wrk:wrk curl:curl ;;
    crash)   echo strace:strace ;;
    s3)      ;; # versitygw is a Go tool: build.sh versitygw
    *)       echo "apt.sh: no group named '$1'; known: ${all[*]}" >&2; return 2 ;;
  esac
}

have() {
  [[ $1 = /* && -e $1 ]] && return 0
  command -v "$1" >/dev/null && return 0
  # Debian keeps the server binaries of Postgres outside PATH.
  [ "$1" = initdb ] && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

groups=("$@")
if [ ${#groups[@]} -eq 0 ]; then groups=("${all[@]}"); fi

packages=() lacking=()
for group in "${groups[@]}"; do
  wanted=$(pairs "$group") || exit 2
  missing=()
  for pair in $wanted; do
    have "${pair#*:}" || { missing+=("${pair#*:}"); packages+=("${pair%:*}"); }
  done
  if [ ${#missing[@]} -gt 0 ]; then lacking+=("$group: ${missing[*]}"); fi
done
if [ ${#packages[@]} -eq 0 ]; then exit 0; fi

refuse() {
  printf 'apt.sh: missing in group %s\n' "${lacking[@]}" >&2
  echo "apt.sh: cannot install: $1; packages: ${packages[*]}" >&2
  exit 3
}
command -v apt-get >/dev/null || refuse "this is not Debian (no apt-get)"
[ "$(id -u)" -eq 0 ] || refuse "not root"

# Packages start their services when installed. The tests run private ones, and a
# stranger's machine should not gain a listening database from "make test": Debian
# asks policy-rc.d first, and 101 means no. Whatever was there comes back after.
policy=/usr/sbin/policy-rc.d
kept=
restore() {
  if [ -n "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}
if [ -e "$policy" ] || [ -L "$policy" ]; then
  kept=$policy.hallmark.$$
  mv "$policy" "$kept"
fi
trap restore EXIT
trap 'exit 130' INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 0755 "$policy"

export DEBIAN_FRONTEND=noninteractive
echo "apt.sh: installing ${packages[*]}" >&2
apt-get update -q >&2 || refuse "apt-get update failed"
apt-get install -q -y --no-install-recommends \
  -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "${packages[@]}" >&2 || refuse "apt-get install failed"

for group in "${groups[@]}"; do
  for pair in $(pairs "$group"); do
    have "${pair#*:}" || { echo "apt.sh: ${pair%:*} is installed, but ${pair#*:} is not found" >&2; exit 1; }
  done
done
