#!/bin/sh
# Formatting, the layers, clang-tidy. Says everything, then fails.
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build-lint}
failed=0

scripts/format.sh --check || failed=1
scripts/layers.py || failed=1

# clang-tidy needs clang's idea of the flags: gcc's own would be errors to it.
if [ ! -f "$build/build.ninja" ]; then
    CC=clang meson setup "$build" >/dev/null || exit 1
fi
run-clang-tidy -quiet -p "$build" -j "$(nproc)" "$PWD/src/.*\.c" >"$build/tidy.log" 2>&1 || failed=1
sed 's/\x1b\[[0-9;]*m//g' "$build/tidy.log" | grep -E '(warning|error):' -A 4 | head -200

if [ $failed -eq 0 ]; then
    echo "lint: nothing to say"
fi
exit $failed
