# The servers that bench.sh measures; it reads this file. Each start function starts one on a free loopback port and sets
#   base     its address
#   pid      its process, which stop ends
#   command  how it was started, for measuring its start
# Whatever is still running when bench.sh ends is ended by stop_all, by process id.
# shellcheck shell=bash disable=SC2034,SC2154

base= pid= command=() postgres_pid= postgres_url=

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# free_port picks below the range that outgoing connections use.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
  done
  say "no free port between 20000 and 32000"
  return 1
}

# launch LOG PATH: runs the command in the background and waits until PATH answers.
launch() {
  "${command[@]}" >>"$1" 2>&1 &
  pid=$!
  for _ in {1..600}; do
    case $(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "$base$2") in 200 | 401) return 0 ;; esac
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  say "did not become ready: ${command[*]##*/}; the end of its log:"
  tail -n 20 "$1" >&2
  return 1
}

end() { # end PID SIGNAL
  kill -s "$2" "$1" 2>/dev/null || return 0
  for _ in {1..800}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.05
  done
  say "process $1 did not end in 40 s and is killed"
  kill -s KILL "$1" 2>/dev/null || true
}

stop() {
  [ -n "$pid" ] || return 0
  end "$pid" TERM
  wait "$pid" 2>/dev/null || true
  pid=
}

stop_postgres() {
  [ -n "$postgres_pid" ] || return 0
  end "$postgres_pid" QUIT # "immediate": there is nothing to keep
  postgres_pid=
}

stop_all() { stop; stop_postgres; }

start_nginx() { # DIR
  local port
  port=$(free_port)
  base=http://127.0.0.1:$port
  mkdir -p "$work/nginx"
  cat >"$work/nginx/nginx.conf" <<CONF
daemon off;
worker_processes auto;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path $work/nginx/body;
  proxy_temp_path $work/nginx/proxy;
  fastcgi_temp_path $work/nginx/fastcgi;
  uwsgi_temp_path $work/nginx/uwsgi;
  scgi_temp_path $work/nginx/scgi;
  server {
    listen 127.0.0.1:$port;
    root $1;
    types { }
    default_type application/octet-stream;
    location /v2/bench/read/manifests/ { default_type application/vnd.oci.image.manifest.v1+json; }
  }
}
CONF
  command=(nginx -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log")
  launch "$work/nginx.log" /v2/bench/read/manifests/latest
}

start_floor() { # DIR
  local port
  port=$(free_port)
  base=http://127.0.0.1:$port
  command=("$work/floor" -addr "127.0.0.1:$port" -dir "$1")
  launch "$work/floor.log" /v2/
}

# distribution has no login here, which spares it the check of a token. What it would log and trace by default is off.
start_distribution() { # DIR
  local port
  port=$(free_port)
  base=http://127.0.0.1:$port
  mkdir -p "$1"
  cat >"$1/config.yml" <<CONF
version: 0.1
log:
  level: error
  accesslog: {disabled: true}
storage:
  filesystem: {rootdirectory: $1/blobs}
  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
  tag: {concurrencylimit: 8}
http:
  addr: 127.0.0.1:$port
  secret: $(secret)
CONF
  command=(env -i "PATH=$PATH" "HOME=$1" OTEL_TRACES_EXPORTER=none "$tools/bin/distribution" serve "$1/config.yml")
  launch "$work/distribution.log" /v2/
}

# hallmark_command DIR PASSWORD [NAME=VALUE...]: only what it is told here counts, no HALLMARK_ variable of the shell. The
# gate is off where a test does not turn it on: the other registries have none.
hallmark_command() {
  local port internal
  port=$(free_port) internal=$(free_port)
  base=http://127.0.0.1:$port
  command=(env -i "PATH=$PATH" "HOME=$work" "HALLMARK_DATA=$1" "HALLMARK_LISTEN=127.0.0.1:$port" "HALLMARK_INTERNAL_LISTEN=127.0.0.1:$internal"
    "HALLMARK_ADMIN_PASSWORD=$2" HALLMARK_ACCESS_LOG=none HALLMARK_BASELINE=off HALLMARK_SCANNER=off "${@:3}" "$hub" serve)
}

start_hallmark() { # DIR PASSWORD [NAME=VALUE...]
  hallmark_command "$@"
  launch "$work/hallmark.log" /readyz
}

# start_postgres DIR: a cluster of its own with Debian's defaults, which are durable. Sets postgres_url and postgres_pid.
start_postgres() {
  local bin port password account=() dir=$1
  bin=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || bin=$(command -v initdb)
  bin=${bin%/*}
  port=$(free_port) password=$(secret)
  mkdir -p "$dir"
  echo "$password" >"$dir/password"
  # Postgres refuses to run as root.
  if [ "$(id -u)" -eq 0 ]; then
    chown -R postgres "$dir"
    account=(setpriv --reuid postgres --regid "$(id -g postgres)" --clear-groups)
  fi
  (cd "$dir" && ${account[@]+"${account[@]}"} "$bin/initdb" -D "$dir/data" -U hallmark --pwfile="$dir/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C >"$work/initdb.log" 2>&1) || { cat "$work/initdb.log" >&2; return 1; }
  (cd "$dir" && exec ${account[@]+"${account[@]}"} "$bin/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c "port=$port" \
    -c unix_socket_directories= >>"$work/postgres.log" 2>&1) &
  postgres_pid=$!
  for _ in {1..600}; do
    if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
      postgres_url="postgres://hallmark:$password@127.0.0.1:$port/postgres?sslmode=disable"
      return 0
    fi
    kill -0 "$postgres_pid" 2>/dev/null || break
    sleep 0.05
  done
  say "Postgres did not start"
  tail -n 20 "$work/postgres.log" >&2
  return 1
}
