#!/bin/sh
# Runs what bench/ holds against the release build.
set -eu
cd "$(dirname "$0")/.."
found=0
for bench in bench/*.sh bench/*.mjs bench/*.py; do
    [ -x "$bench" ] || continue
    found=1
    echo "bench: $bench"
    REELAY_BIN="$PWD/build/reelay" "$bench"
done
[ $found -eq 1 ] || echo "bench: bench/ holds nothing to run"
