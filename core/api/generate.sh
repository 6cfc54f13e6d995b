#!/usr/bin/env bash
# Makes api.gen.go from openapi.yaml with the pinned oapi-codegen. `generate.sh -check` only says whether it is current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tool=$(../../tests/tools/build.sh oapi-codegen | tail -n 1)
if [ "${1:-}" = -check ]; then
  fresh=$(mktemp)
  trap 'rm -f "$fresh"' EXIT
  "$tool" -config oapi-codegen.yaml -o "$fresh" openapi.yaml
  diff -q "$fresh" api.gen.go >/dev/null || { echo "core/api/api.gen.go is not what openapi.yaml makes: run core/api/generate.sh" >&2; exit 1; }
  exit 0
fi
"$tool" -config oapi-codegen.yaml -o api.gen.go openapi.yaml
