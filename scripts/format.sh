#!/bin/sh
# Puts the C sources into shape; with --check only names those that are not.
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" = --check ]; then
    misshapen=$(git ls-files -z -- '*.c' '*.h' |
        xargs -0 -r clang-format --dry-run 2>&1 | sed -n 's/:.*code should be clang-formatted.*//p' | sort -u)
    [ -z "$misshapen" ] || { echo "not in shape (make format mends it):"; echo "$misshapen"; exit 1; }
else
    git ls-files -z -- '*.c' '*.h' | xargs -0 -r clang-format -i
fi
