#!/usr/bin/env bash
# Runs the examples against each other.
set -euo pipefail
build=$1 server_program=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/server.sh"

"$build/bin/pong" "$url" "$(token here pong)" &
pong=$!
PING_COUNT=20 PING_INTERVAL_MS=50 "$build/bin/ping" "$url" "$(token here ping)" | tee "$folder/ping.txt"
kill -TERM $pong
wait $pong
grep -Eq '^id=[0-9]+ rtt_ms=[0-9]+\.[0-9]{3} pong_to_ping_ms=-?[0-9.]+ ping_to_pong_and_processing_ms=-?[0-9.]+ estimated_one_way_latency_ms=[0-9.]+$' "$folder/ping.txt"
grep -Eq '^sent=20 answered=[1-9][0-9]* lost=[0-9]+ rtt_p50_ms=[0-9.]+ rtt_p99_ms=[0-9.]+$' "$folder/ping.txt"
ok "ping and pong"

# The pings of one room reach the pong of another one; the bridge ends with the track.
"$build/bin/pong" "$url" "$(token there pong)" &
pong=$!
"$build/bin/forward" "$url" "$(token far ping-bridge)" "$url" "$(token there ping)" ping >"$folder/forward.txt" &
forward=$!
PING_COUNT=20 PING_INTERVAL_MS=50 "$build/bin/ping" "$url" "$(token far ping)" >/dev/null
wait $forward
kill -TERM $pong
wait $pong
grep -Eq '^frames=[1-9]' "$folder/forward.txt"
ok "forward"

if "$build/bin/ping" 2>/dev/null; then echo "ping runs without arguments" >&2; exit 1; fi
ok "missing arguments"
