#!/usr/bin/env bash
# Private servers for the tests: a PostgreSQL cluster and a Redis, on loopback, each with a password of its own.
#   tests/servers.sh start DIR   starts them, writes DIR/env (export lines) and prints it; prints it again if they run
#   tests/servers.sh stop DIR    ends what DIR says was started, and removes its data
# They are for unit tests: nothing in them survives a crash. Exit 3: a server is not installed (tests/tools/apt.sh db).
set -euo pipefail
umask 077

say() { echo "servers.sh: $*" >&2; }
usage() { say "usage: servers.sh start|stop DIR"; exit 2; }
secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# PostgreSQL refuses to run as root, so there the servers run as another user.
account=
if [ "$(id -u)" -eq 0 ]; then
  account=nobody
  if id postgres >/dev/null 2>&1; then account=postgres; fi
fi
as_account() {
  if [ -n "$account" ]; then
    # The caller's directory may be closed to that user.
    (cd / && exec setpriv --reuid "$account" --regid "$(id -g "$account")" --clear-groups env HOME=/ "$@")
  else
    "$@"
  fi
}

# free_port picks below the range that outgoing connections use. Somebody may take it before the server does; then the
# server does not start and another one is picked.
free_port() {
  local port try
  for try in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
  done
  say "no free port between 20000 and 32000 after $try tries"
  return 1
}

postgres_bin() {
  local dir
  dir=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || dir=$(command -v initdb) || return 1
  dirname "$dir"
}

# start_postgres HOME sets postgres_url. Commits keep their meaning for readers; only the disk is not waited for.
start_postgres() {
  local home=$1 bin port password try
  bin=$(postgres_bin) || { say "PostgreSQL is not installed: run tests/tools/apt.sh db as root"; exit 3; }
  password=$(secret)
  printf '%s\n' "$password" >"$home/password"
  if [ -n "$account" ]; then chown "$account" "$home/password"; fi
  as_account "$bin/initdb" -D "$home/postgres" -U hallmark --pwfile="$home/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --no-sync >"$home/initdb.log" 2>&1 || { cat "$home/initdb.log" >&2; return 1; }
  as_account tee -a "$home/postgres/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
max_connections = 300
shared_buffers = 64MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum_naptime = 10min
CONF
  for try in 1 2 3 4 5; do
    port=$(free_port)
    if as_account "$bin/pg_ctl" -D "$home/postgres" -l "$home/postgres.log" -o "-p $port" -w -t 60 start >/dev/null; then
      postgres_url="postgres://hallmark:$password@127.0.0.1:$port/postgres?sslmode=disable"
      return
    fi
  done
  say "PostgreSQL did not start ($try tries)"
  cat "$home/postgres.log" >&2
  return 1
}

# start_redis HOME sets redis_url. Its password goes through a file, because everybody sees the arguments of a process.
start_redis() {
  local home=$1 port password try wait
  command -v redis-server >/dev/null || { say "Redis is not installed: run tests/tools/apt.sh db as root"; exit 3; }
  password=$(secret)
  for try in 1 2 3 4 5; do
    port=$(free_port)
    as_account tee "$home/redis.conf" >/dev/null <<CONF
bind 127.0.0.1
port $port
requirepass $password
save ""
appendonly no
dir $home
pidfile $home/redis.pid
logfile $home/redis.log
daemonize yes
CONF
    as_account redis-server "$home/redis.conf"
    for wait in {1..100}; do
      if redis_answers "$port" "$password"; then
        redis_url="redis://:$password@127.0.0.1:$port/0"
        return
      fi
      sleep 0.05
    done
    say "Redis does not answer on port $port after $((wait / 20)) s"
  done
  say "Redis did not start ($try tries)"
  cat "$home/redis.log" >&2
  return 1
}

redis_answers() {
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'AUTH %s\r\n' "$2" >&3
  read -r -t 2 answer <&3 || answer=
  exec 3>&-
  [ "${answer%$'\r'}" = +OK ]
} 2>/dev/null

# alive PIDFILE HOME: the process exists and is the one that was started from HOME, not one that got its number since.
alive() {
  local pid
  pid=$(head -n 1 "$1" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
  # As its owner: root without CAP_SYS_PTRACE, as in most containers, may not look.
  case $(as_account readlink "/proc/$pid/cwd" 2>/dev/null || true) in
    "$2" | "$2"/*) return 0 ;;
    *) [ ! -d /proc/self ] ;; # without /proc the number has to do
  esac
}

# end PIDFILE HOME SIGNAL
end() {
  local pid try
  alive "$1" "$2" || return 0
  pid=$(head -n 1 "$1")
  kill -s "$3" "$pid"
  for try in {1..200}; do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.05
  done
  say "process $pid did not end in $((try / 20)) s and is killed"
  kill -s KILL "$pid" 2>/dev/null || true
}

stop() {
  local home
  home=$(cat "$dir/home" 2>/dev/null) || return 0
  end "$home/redis.pid" "$home" TERM
  end "$home/postgres/postmaster.pid" "$home" QUIT # "immediate": there is nothing to keep
  rm -rf "$home"
  rm -f "$dir/home" "$dir/env"
}

start() {
  local home
  mkdir -p "$dir"
  if home=$(cat "$dir/home" 2>/dev/null); then
    if [ -f "$dir/env" ] && alive "$home/redis.pid" "$home" && alive "$home/postgres/postmaster.pid" "$home"; then
      cat "$dir/env"
      return
    fi
    stop
  fi
  # Not in DIR: the other user may not get there, and the path of a socket may have 107 bytes at most.
  home=$(mktemp -d /tmp/hallmark-servers.XXXXXX)
  echo "$home" >"$dir/home"
  trap stop EXIT
  if [ -n "$account" ]; then chown "$account" "$home"; fi
  start_postgres "$home"
  start_redis "$home"
  printf "export HALLMARK_TEST_POSTGRES='%s'\nexport HALLMARK_TEST_REDIS='%s'\n" "$postgres_url" "$redis_url" >"$dir/env"
  trap - EXIT
  cat "$dir/env"
}

[ $# -eq 2 ] || usage
dir=$2
case $1 in
  start) start ;;
  stop) stop ;;
  *) usage ;;
esac
