#!/usr/bin/env bash
# Server CPU microseconds per request on kept-alive connections: lockgate and nginx in turns, and their ratio.
# usage: benches/keep_alive.sh [SECONDS a run] [ROUNDS]     More servers to compare: OTHERS='name=command …' with
# PORT, CERT and KEY in the command replaced.
set -euo pipefail
seconds=${1:-4}
rounds=${2:-3}
connections='8 64 512'
port=${BENCH_PORT:-18443}
cd "$(dirname "$0")/.."

for tool in wrk nginx openssl; do
    command -v "$tool" >/dev/null || missing="${missing:-} $tool"
done
if [ -n "${missing:-}" ]; then
    echo "missing:$missing; get them with: apt-get install wrk nginx-light openssl" >&2
    exit 1
fi
cargo build --quiet --release --no-default-features --example bench_server

work=$(mktemp -d)
server=
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap 'stop_server; rm -rf "$work"' EXIT
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" \
    -days 2 -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>/dev/null

cat >"$work/nginx.conf" <<EOF
daemon off;
master_process on;
worker_processes auto;
error_log /dev/null;
pid $work/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work; uwsgi_temp_path $work; scgi_temp_path $work;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
        ssl_protocols TLSv1.3;
        location = /api/data {
            default_type application/json;
            return 200 '{"message":"Secure data over HTTPS"}';
        }
    }
}
EOF

# The CPU time of a process and its children so far, in clock ticks.
cpu_ticks() {
    local ticks=0 pid
    for pid in "$1" $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        ticks=$((ticks + $(sed 's/.*) //' "/proc/$pid/stat" | awk '{print $12 + $13}')))
    done
    echo "$ticks"
}

start() {
    case $1 in
        lockgate) ./target/release/examples/bench_server "$port" "$work/cert.pem" "$work/key.pem" >/dev/null & ;;
        nginx) nginx -p "$work" -c "$work/nginx.conf" -e /dev/null & ;;
        *)
            local command=${others[$1]}
            command=${command//PORT/$port}
            command=${command//CERT/$work/cert.pem}
            $(echo "${command//KEY/$work/key.pem}") >/dev/null 2>&1 &
            ;;
    esac
    server=$!
    for _ in $(seq 200); do
        if curl -sk --max-time 1 -o "$work/body" "https://127.0.0.1:$port/api/data"; then
            grep -q 'Secure data over HTTPS' "$work/body" || { echo "$1 does not give the same reply" >&2; exit 1; }
            return
        fi
        sleep 0.05
    done
    echo "$1 did not start" >&2
    exit 1
}

declare -A others=()
names='lockgate nginx'
while IFS='=' read -r name command; do
    [ -n "$name" ] || continue
    others[$name]=$command
    names+=" $name"
done <<<"${OTHERS:-}"

ticks_per_second=$(getconf CLK_TCK)
: >"$work/figures"
for round in $(seq "$rounds"); do
    for name in $names; do
        start "$name"
        for n in $connections; do
            wrk -t2 -c"$n" -d1 "https://127.0.0.1:$port/api/data" >/dev/null
            before=$(cpu_ticks "$server")
            wrk -t2 -c"$n" -d"$seconds" --latency "https://127.0.0.1:$port/api/data" >"$work/wrk"
            after=$(cpu_ticks "$server")
            if grep -q 'Non-2xx' "$work/wrk"; then
                echo "$name answered with errors" >&2
                exit 1
            fi
            awk -v name="$name" -v n="$n" -v cpu=$((after - before)) -v tick="$ticks_per_second" '
                / requests in / { requests = $1 }
                / 99% / { p99 = $2 }
                /^Requests\/sec/ { rate = $2 }
                END { printf "%s %s %.2f %s %s\n", n, name, cpu * 1e6 / tick / requests, rate, p99 }' \
                "$work/wrk" | tee -a "$work/figures" | sed "s/^/round $round: /" >&2
        done
        stop_server
    done
done

median() { sort -g | awk '{v[NR] = $1} END {printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
echo
echo "server CPU, us per request, median of $rounds rounds of $seconds s on $(nproc) cores"
printf '%-12s' connections
for name in $names; do printf '%12s' "$name"; done
for name in $names; do [ "$name" = lockgate ] || printf '%20s' "lockgate/$name"; done
echo
for n in $connections; do
    printf '%-12s' "$n"
    declare -A figure=()
    for name in $names; do
        figure[$name]=$(awk -v n="$n" -v name="$name" '$1 == n && $2 == name {print $3}' "$work/figures" | median)
        printf '%12s' "${figure[$name]}"
    done
    for name in $names; do
        [ "$name" = lockgate ] || printf '%20s' "$(awk -v a="${figure[lockgate]}" -v b="${figure[$name]}" 'BEGIN {printf "%.2f", a / b}')"
    done
    echo
done
