#!/bin/sh
# archive.sh IN.a OUT.a: one object of everything in IN, hidden names made local.
set -eu
object=$2.o

ld -r -o "$object" --whole-archive "$1"
objcopy --localize-hidden "$object"
rm -f "$2"
ar rcsD "$2" "$object"
rm -f "$object"
