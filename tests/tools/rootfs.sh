#!/usr/bin/env bash
# Prints the path of a tarball with a minimal Debian root file system, about 170 MB,
# for tests that push a real image. It is made once per suite and variant.
# Exit 3: it cannot be made here; it says why.
set -euo pipefail

cache=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
suite=${ROOTFS_SUITE:-$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}" || true)}
suite=${suite:-stable}
variant=${ROOTFS_VARIANT:-minbase}
out=$cache/rootfs/$suite-$variant.tar

if [ ! -s "$out" ]; then
  PATH=$PATH:/usr/sbin:/sbin
  if ! command -v mmdebstrap >/dev/null; then
    echo "rootfs.sh: mmdebstrap is missing; install it with: tests/tools/apt.sh image" >&2
    exit 3
  fi
  mkdir -p "$(dirname "$out")"
  tmp=$(mktemp "$out.XXXXXX")
  trap 'rm -f "$tmp"' EXIT
  echo "rootfs.sh: making $suite ($variant), about a minute" >&2
  if ! mmdebstrap --quiet --format=tar --variant="$variant" "$suite" "$tmp" </dev/null >&2; then
    echo "rootfs.sh: mmdebstrap could not make $suite ($variant)" >&2
    exit 3
  fi
  chmod 0644 "$tmp"
  mv -f "$tmp" "$out"
fi
echo "$out"
