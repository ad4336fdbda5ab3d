#!/bin/sh
# Measures the built server; docs/bench.md says what the figures mean. Takes
# about seven minutes and wants a machine that does nothing else.
#
#   bench.sh                            everything
#   bench.sh --part redis [OPTION...]   those of bench/redis.c
#   bench.sh [OPTION...]                those of bench/fanout.c
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
part=${1:+fanout}
if [ "${1:-}" = --part ] && [ "${2:-}" = redis ]; then
    part=redis
    shift 2
fi
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" reelay bench/fanout bench/redis >/dev/null
if [ "$part" != redis ]; then
    "$build/bench/fanout" "$@" "$build/reelay"
fi
if [ "$part" != fanout ]; then
    exec "$build/bench/redis" "$@" "$build/reelay"
fi
