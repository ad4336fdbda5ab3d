#!/bin/sh
# Measures the built server; docs/bench.md says what the figures mean. Takes
# about three minutes and wants a machine that does nothing else.
#
#   bench.sh [OPTION...]     those of bench/fanout.c
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" reelay bench/fanout >/dev/null
exec "$build/bench/fanout" "$@" "$build/reelay"
