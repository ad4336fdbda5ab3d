#!/bin/sh
# Puts the C sources into shape; with --check only says which are not.
set -eu
cd "$(dirname "$0")/.."
mode=-i
[ "${1:-}" != --check ] || mode="--dry-run --Werror"
# shellcheck disable=SC2086 # two words
git ls-files -z -- '*.c' '*.h' | xargs -0 -r clang-format $mode
