#!/bin/sh
# Measures the built server; docs/bench.md says what the figures mean. Takes
# about seven minutes and wants a machine that does nothing else.
#
#   bench.sh                            everything (assembly wants 10 GB of disk)
#   bench.sh --part redis [OPTION...]   those of bench/redis.c
#   bench.sh --part upload [OPTION...]  those of bench/upload.c, beside nginx
#   bench.sh --part assemble [OPTION..] those of bench/assemble.c, beside cat
#   bench.sh [OPTION...]                those of bench/fanout.c
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
part=${1:+fanout}
if [ "${1:-}" = --part ]; then
    case "${2:-}" in
    redis | upload | assemble)
        part=$2
        shift 2
        ;;
    esac
fi
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" reelay bench/fanout bench/redis bench/upload bench/assemble >/dev/null
case "$part" in
assemble) exec "$build/bench/assemble" "$@" ;;
redis | upload) exec "$build/bench/$part" "$@" "$build/reelay" ;;
esac
"$build/bench/fanout" "$@" "$build/reelay"
if [ -z "$part" ]; then
    "$build/bench/redis" "$build/reelay"
    "$build/bench/upload" "$build/reelay"
    "$build/bench/assemble"
fi
