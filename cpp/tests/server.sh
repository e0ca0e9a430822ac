# Sourced: starts the server, with its address in $url, and stops it at the end. `token <room> <identity>` prints a token.

program=${TRAMLINE_BIN:-$server_program}
folder=$(mktemp -d)
"$program" --log warn serve --dev --port 0 --bind 127.0.0.1 --json >"$folder/server.json" &
server=$!
trap 'kill $server $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
until grep -q '"url"' "$folder/server.json"; do kill -0 $server; sleep 0.05; done
url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' "$folder/server.json")

token() { "$program" token --room "$1" --identity "$2"; }
ok() { echo "[       OK ] $1"; }
