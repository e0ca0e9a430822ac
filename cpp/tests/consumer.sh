#!/usr/bin/env bash
# Installs into an empty folder, and builds and runs a project that sees nothing else: through CMake, and by hand with -llivekit.
set -euo pipefail
build=$1 server_program=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/server.sh"

prefix=$folder/prefix
cmake --install "$build" --prefix "$prefix" >/dev/null
cmake -S "$here/consumer" -B "$folder/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$folder/build" >/dev/null
"$folder/build/with_target" "$url" "$(token consumer one)"
ok "consumer with LiveKit::livekit"
"$folder/build/with_c"
ok "consumer with Tramline::tramline"

libs=$(dirname "$(find "$prefix" -name liblivekit.so)")
c++ -std=c++17 -Wall -Wextra -Werror "$here/consumer/consumer.cpp" -I"$prefix/include" -L"$libs" -llivekit -Wl,-rpath,"$libs" -o "$folder/by_hand"
"$folder/by_hand" "$url" "$(token consumer two)"
ok "consumer with -llivekit"

# The example of the README.
{ sed -n '/^```cpp$/,/^```$/{//!p}' "$here/../../README.md"; cat "$here/consumer/readme.cpp"; } >"$folder/readme.cpp"
c++ -std=c++17 -Wall -Wextra -Werror "$folder/readme.cpp" -I"$prefix/include" -L"$libs" -llivekit -Wl,-rpath,"$libs" -o "$folder/readme"
"$folder/readme" "$url" "$(token readme robot)" "$(token readme echo)"
ok "the example of the README"

# Nothing but the SDK is to be seen of the library.
foreign=$(nm -DC --defined-only "$libs/liblivekit.so" | awk '$2 ~ /[TDBR]/' | grep -v -e ' livekit::' -e ' \(vtable\|typeinfo\|typeinfo name\) for livekit::' || true)
[ -z "$foreign" ] || { echo "foreign symbols in liblivekit.so: $foreign" >&2; exit 1; }
ok "symbols of liblivekit.so"
