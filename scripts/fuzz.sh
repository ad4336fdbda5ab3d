#!/bin/sh
# Looks for inputs that break a parser: every target of tests/fuzz, built by
# clang with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   fuzz.sh [SECONDS [TARGET...]]   60 seconds each, all targets
#   fuzz.sh replay [TARGET...]      the corpus once, nothing new
#
# What it learns stays in build-fuzz/corpus/TARGET and is where the next run
# goes on; what breaks a target, in build-fuzz/crashes. Fails if anything did.
# A crash that was mended moves to tests/fuzz/corpus/TARGET, named after the bug.
set -u
cd "$(dirname "$0")/.." || exit 1
build="build-fuzz"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"

if ! command -v clang >/dev/null 2>&1; then
    echo "fuzz: clang is not installed: run \"make setup\"" >&2
    exit 1
fi

build_all() {
    if [ ! -f $build/build.ninja ]; then
        CC=clang meson setup $build -Dfuzz=true >$build.log 2>&1 || { cat $build.log; exit 1; }
        mv $build.log $build/setup.log
    fi
    ninja -C $build fuzzers >$build/ninja.log 2>&1 || { tail -n 60 $build/ninja.log; exit 1; }
}

targets() {
    for source in tests/fuzz/fuzz_*.c; do
        basename "$source" .c | sed s/^fuzz_//
    done
}

# libFuzzer's last word: "#123 DONE   cov: 45 ft: 67 corp: 8/9b ..."
word() {
    sed -n "s/.*DONE.* $2: \([0-9]*\).*/\1/p" "$1" | tail -n 1
}

fuzz() {
    target=$1
    shift
    log=$build/$target.log
    seeds=tests/fuzz/corpus/$target
    dictionary=tests/fuzz/$target.dict
    mkdir -p $build/crashes "$build/corpus/$target"
    [ ! -f "$dictionary" ] || set -- "$@" "-dict=$dictionary"
    if ! "$build/tests/fuzz/fuzz-$target" -timeout=20 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$target-" "$@" >"$log" 2>&1; then
        echo "fuzz: $target: FAILED, see $log and $build/crashes"
        grep -v '^#' "$log" | tail -n 60
        return 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target: ok, $runs executions, $(word "$log" cov) edges," \
        "$(find "$seeds" -type f | wc -l) inputs kept here, $(word "$log" corp) interesting"
}

seconds=60
is_replay=
case "${1:-}" in
    replay) is_replay=1 && shift ;;
    [0-9]*) seconds=$1 && shift ;;
esac

build_all
status=0
# shellcheck disable=SC2048 # names of targets are words
for target in ${*:-$(targets)}; do
    if [ -n "$is_replay" ]; then
        fuzz "$target" -runs=0 "tests/fuzz/corpus/$target" || status=1
    else
        fuzz "$target" -max_total_time="$seconds" "$build/corpus/$target" \
            "tests/fuzz/corpus/$target" || status=1
    fi
done
exit $status
