#!/bin/sh
# The fuzzers of tests/fuzz, built by clang with libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer.
#
#   fuzz.sh replay     every input in tests/fuzz/corpus/TARGET/ once
#   fuzz.sh run [TARGET...]   look for new ones, SECONDS_EACH=60 per target;
#                      they are kept in build-fuzz/corpus, crashes in build-fuzz/crashes
set -u
cd "$(dirname "$0")/.." || exit 1
build="build-fuzz"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"

build_all() {
    if [ ! -f $build/build.ninja ]; then
        CC=clang meson setup $build -Dfuzz=true -Dbuildtype=debugoptimized \
            -Db_sanitize=address,undefined -Db_lundef=false \
            -Dc_args=-fsanitize=fuzzer-no-link >$build.log 2>&1 || { cat $build.log; exit 1; }
        mv $build.log $build/setup.log
    fi
    ninja -C $build fuzzers >$build/ninja.log 2>&1 || { cat $build/ninja.log; exit 1; }
}

targets() {
    for source in tests/fuzz/fuzz_*.c; do
        [ -f "$source" ] && basename "$source" .c | sed 's/^fuzz_//'
    done
}

replay() {
    status=0
    for target in $(targets); do
        if output=$($build/tests/fuzz/fuzz-"$target" -runs=0 -timeout=20 tests/fuzz/corpus/"$target" 2>&1); then
            echo "fuzz: $target: ok, $(find tests/fuzz/corpus/"$target" -type f | wc -l) inputs"
        else
            echo "fuzz: $target: FAILED"
            echo "$output" | tail -n 60
            status=1
        fi
    done
    return $status
}

run() {
    mkdir -p $build/crashes
    # shellcheck disable=SC2048 # names of targets are words
    for target in ${*:-$(targets)}; do
        echo "fuzz: $target: ${SECONDS_EACH:-60} s"
        mkdir -p "$build/corpus/$target"
        dict=
        [ ! -f "tests/fuzz/$target.dict" ] || dict="-dict=tests/fuzz/$target.dict"
        # shellcheck disable=SC2086 # no word, or one
        $build/tests/fuzz/fuzz-"$target" -max_total_time="${SECONDS_EACH:-60}" -timeout=20 -max_len=65536 \
            $dict -print_final_stats=1 -artifact_prefix="$build/crashes/$target-" \
            "$build/corpus/$target" tests/fuzz/corpus/"$target" >"$build/$target.log" 2>&1 || {
            echo "fuzz: $target: FAILED"
            tail -n 60 "$build/$target.log"
            return 1
        }
        grep -E 'stat::(number_of_executed_units|new_units_added)' "$build/$target.log"
    done
}

if [ -z "$(targets)" ]; then
    echo "fuzz: tests/fuzz holds no targets"
    exit 0
fi
action=${1:-run}
[ $# -eq 0 ] || shift
build_all
$action "$@"
