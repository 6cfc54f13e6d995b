#!/usr/bin/env bash
# Measures Hallmark beside distribution, nginx and a bare Go server, one after the other, and prints one table.
#   bench.sh [--quick] [--postgres] [--only NAME,...]      names: nginx floor distribution hallmark variants postgres jobs sboms
#   bench.sh --base URL [--user NAME] [--pass PASSWORD] [--pids PID,...]    only Hallmark's tests, against a running
#     server; with the ids of its processes on this machine also what CPU time and memory it takes
# BENCH_OUT: directory for the results (JSON lines and the table); BENCH_QUICK=1 is --quick, about two minutes instead of
# ten; HALLMARK_BENCH_POSTGRES=1 is --postgres; HALLMARK_BIN: the hub to measure; BENCH_PASS: the password.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
PATH=$PATH:/usr/sbin:/sbin
quick=${BENCH_QUICK:-} postgres=${HALLMARK_BENCH_POSTGRES:-} only= url= user= pids= pass=${BENCH_PASS:-}

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --postgres) postgres=1 ;;
    --only | --base | --user | --pass | --pids)
      [ $# -ge 2 ] || usage
      case $1 in --only) only=$2 ;; --base) url=$2 ;; --user) user=$2 ;; --pass) pass=$2 ;; --pids) pids=$2 ;; esac
      shift ;;
    *) usage ;;
  esac
  shift
done
if [ "$quick" = 0 ]; then quick=; fi
if [ "$postgres" = 0 ]; then postgres=; fi

# Not in /tmp, which on many machines is memory: pushes are to reach the disk. Other users only pass through it:
# nginx's workers and Postgres are not root.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/hallmark-bench.XXXXXX")
chmod 0711 "$work"
out=${BENCH_OUT:-}
[ -n "$out" ] || out=$(mktemp -d "${TMPDIR:-/var/tmp}/hallmark-bench-results.XXXXXX")
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/servers.sh"
trap 'stop_all; bash "$root/tests/servers.sh" stop "$work/servers"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { echo "bench.sh: $*" >&2; }
results=$out/results.jsonl
rm -f "$results" "$out/table.md"

(cd "$root" && go build -trimpath -o "$work/" ./tests/load/regbench ./tests/load/floor ./tests/load/jobbench)
regbench() { "$work/regbench" "$1" -out "$results" "${@:2}"; }
sizes=()
if [ -n "$quick" ]; then sizes=(-runs 1 -dur 2s -images 100 -beside 2000 -size $((256 << 20))); fi

reads=tag-get,tag-head,digest-get,blob-1k,blob-1m,blob-256m,blob-256m-x8
pushes=push-small,push-put,push-patch,push-chunk
# suite LABEL TESTS [FLAG...]: a test that fails stands below the table; the others go on.
suite() {
  BENCH_PASS=$pass regbench suite -label "$1" -tests "$2" -base "$base" ${sizes[@]+"${sizes[@]}"} "${@:3}" || say "$1: not everything could be measured"
}
wanted() { [ -z "$only" ] || [[ ",$only," == *",$1,"* ]]; }

about() {
  local cpu
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  echo "$(date -u +%Y-%m-%d), $(nproc) x ${cpu:-CPU}, $(uname -s) $(uname -r), $(df --output=fstype "$work" | tail -n 1), $(go env GOVERSION)${quick:+, quick}; load average before: $(cut -d' ' -f1-3 /proc/loadavg)"
}

bash "$root/tests/tools/apt.sh" bench
if [ -n "$url" ]; then
  base=$url
  suite hallmark "$reads,$pushes,tags,catalog,catalog-others,token" -hub -user "$user" -pids "$pids"
  "$work/regbench" report "$results" | tee "$out/table.md"
  echo "Results: $out"
  exit
fi

bash "$root/tests/tools/build.sh" distribution >/dev/null
tools=${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}
hub=${HALLMARK_BIN:-$root/bin/hallmark}
[ -x "$hub" ] || { say "no $hub: run make build"; exit 1; }
about=$(about)

measure_floors() {
  wanted nginx || wanted floor || return 0
  "$work/regbench" static -dir "$work/static"
  if wanted nginx; then
    start_nginx "$work/static"
    suite nginx "$reads" -pids "$pid"
    stop
  fi
  if wanted floor; then
    regbench sha256 -label floor ${sizes[@]+"${sizes[@]}"}
    start_floor "$work/static"
    suite floor "$reads" -pids "$pid"
    stop
    regbench startup -label floor ${sizes[@]+"${sizes[@]}"} -base "$base" -- "${command[@]}"
  fi
  rm -rf "$work/static"
}

measure_distribution() {
  wanted distribution || return 0
  start_distribution "$work/distribution"
  suite distribution "$reads,$pushes,tags,catalog" -pids "$pid"
  stop
  regbench startup -label distribution -suffix @full ${sizes[@]+"${sizes[@]}"} -base "$base" -- "${command[@]}" 2>&1 | grep -v level= >&2
  rm -rf "$work/distribution/blobs"
  regbench startup -label distribution -suffix @empty ${sizes[@]+"${sizes[@]}"} -base "$base" -- "${command[@]}" 2>&1 | grep -v level= >&2
  rm -rf "$work/distribution"
}

measure_hallmark() {
  wanted hallmark || wanted variants || return 0
  pass=$(secret)
  local login=(-hub -user admin)
  if wanted hallmark; then
    hallmark_command "$work/first{run}" "$pass"
    regbench startup -label hallmark -suffix @empty ${sizes[@]+"${sizes[@]}"} -base "$base" -ready /readyz -- "${command[@]}" >>"$work/hallmark.log"
    start_hallmark "$work/hallmark" "$pass"
    suite hallmark "$reads,$pushes,tags,catalog,catalog-others,token" -pids "$pid" "${login[@]}"
    stop
    regbench startup -label hallmark -suffix @full ${sizes[@]+"${sizes[@]}"} -base "$base" -ready /readyz -- "${command[@]}" >>"$work/hallmark.log"
  fi
  if wanted variants; then
    start_hallmark "$work/hallmark" "$pass" HALLMARK_ACCESS_LOG=all
    suite hallmark tag-get -suffix @log -pids "$pid" "${login[@]}"
    stop
    start_hallmark "$work/hallmark" "$pass"
    suite hallmark gate -pids "$pid" "${login[@]}"
    stop
  fi
  rm -rf "$work/hallmark" "$work"/first*
}

measure_postgres() {
  [ -n "$postgres" ] && wanted postgres || return 0
  bash "$root/tests/tools/apt.sh" db
  pass=$(secret)
  start_postgres "$work/postgres"
  start_hallmark "$work/hallmark-postgres" "$pass" "HALLMARK_DB=$postgres_url" "HALLMARK_MASTER_KEY=$(head -c 32 /dev/urandom | base64)"
  suite hallmark push-small -suffix @postgres -pids "$pid,$postgres_pid" -hub -user admin
  stop
  stop_postgres
}

# Redis keeps nothing on a disk, as ours need not; the databases do.
measure_jobs() {
  local run
  wanted jobs || return 0
  bash "$root/tests/tools/apt.sh" db
  # In a shell of its own: it has other names for the same things.
  # shellcheck disable=SC1090
  redis_url=$(bash "$root/tests/servers.sh" start "$work/servers" >/dev/null && . "$work/servers/env" && echo "$HALLMARK_TEST_REDIS")
  for run in 1 2 3; do
    "$work/jobbench" -run "$run" -suffix @sqlite -db "sqlite://$work/jobs.db" -redis "$redis_url" -out "$results" || say "jobs@sqlite: not measured"
  done
  if [ -n "$postgres" ]; then
    start_postgres "$work/postgres-jobs"
    for run in 1 2 3; do
      "$work/jobbench" -run "$run" -suffix @postgres -db "$postgres_url" -redis "$redis_url" -out "$results" || say "jobs@postgres: not measured"
    done
    stop_postgres
  fi
  bash "$root/tests/servers.sh" stop "$work/servers"
}

# Only where the adapter was built (make scanner).
measure_sboms() {
  local run line n=3000
  wanted sboms && [ -x "$root/bin/scanner-adapter" ] || return 0
  [ -z "$quick" ] || n=1000
  for run in 1 2 3; do
    line=$(cd "$root/scanner-adapter" && GOEXPERIMENT=jsonv2 CGO_ENABLED=0 ADAPTER_BIN="$root/bin/scanner-adapter" go test ./e2e -run '^$' -bench '^BenchmarkMatch$' \
      -benchtime "${n}x" -timeout 30m | grep '^BenchmarkMatch') || { say "sboms: not measured"; continue; }
    awk -v run="$run" '{ for (i = 1; i < NF; i++) if ($(i + 1) == "images/s") wall = 1e6 / $i; else if ($(i + 1) == "images/core-s") cpu = 1e6 / $i
      printf "{\"label\":\"hallmark\",\"test\":\"sboms\",\"run\":%d,\"m\":{\"wall_us_op\":%.0f,\"cpu_us_op\":%.0f}}\n", run, wall, cpu }' <<<"$line" >>"$results"
  done
}

measure_floors
measure_distribution
measure_hallmark
measure_postgres
measure_jobs
measure_sboms
{
  echo "$about; after: $(cut -d' ' -f1-3 /proc/loadavg)"
  echo
  "$work/regbench" table "$results"
} | tee "$out/table.md"
echo "Results: $out"
