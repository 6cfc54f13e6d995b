#!/usr/bin/env bash
# Builds the pinned client tools of the tests into a cache outside the tree and
# links them in <cache>/bin. Usage: build.sh [NAME...]   (no name: all of them)
#
# A binary's directory is named after everything that decides its content, so a
# tool is built once per pin and toolchain, and two checkouts share the result.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
all=(crane distribution versitygw regctl oras cosign helm cosign2 golangci-lint)

names=("$@")
if [ ${#names[@]} -eq 0 ]; then names=("${all[@]}"); fi

# Low priority: these builds take minutes, and often share the machine with the
# hub that is being built or tested.
gentle=()
if command -v nice >/dev/null; then gentle=(nice -n 10); fi

toolchain="$(go env GOVERSION) $(go env GOOS)/$(go env GOARCH)"
mkdir -p "$cache/bin"
tmp=
trap 'rm -f "$tmp"' EXIT

build() {
  # Called where set -e has no effect, hence every step says what its failure means.
  local name=$1 dir=$here/$1 pkg hash out start
  if [ ! -f "$dir/go.mod" ]; then
    echo "build.sh: no tool named '$name'; known: ${all[*]}" >&2
    return 2
  fi
  hash=$({ cat "$dir/go.mod" "$dir/go.sum"; echo "$toolchain"; } | sha256sum | cut -c1-16)
  out=$cache/$name/$hash/$name
  if [ ! -x "$out" ]; then
    pkg=$(awk '$1 == "tool" { print $2; exit }' "$dir/go.mod")
    mkdir -p "$(dirname "$out")" || return 1
    # Built beside its final place and renamed: a run that is interrupted, or
    # two at once, never leave half a binary under the final name.
    tmp=$(mktemp "$(dirname "$out")/.build.XXXXXX") || return 1
    start=$SECONDS
    echo "build.sh: building $name ($pkg)" >&2
    if ! (cd "$dir" && CGO_ENABLED=0 GOWORK=off GOFLAGS='' "${gentle[@]}" \
      go build -p "${TOOLS_PARALLEL:-2}" -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$tmp" "$pkg"); then
      return 1
    fi
    chmod 0755 "$tmp" && mv -f "$tmp" "$out" || return 1
    echo "build.sh: $name took $((SECONDS - start)) s" >&2
  fi
  ln -sfn "$out" "$cache/bin/.$name.$$" && mv -f "$cache/bin/.$name.$$" "$cache/bin/$name" || return 1
  echo "$out"
}

failed=()
for name in "${names[@]}"; do
  build "$name" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "build.sh: failed: ${failed[*]}" >&2
  exit 1
fi
