#!/bin/sh
# Installs the build into a folder and uses libreelay from there as a project
# does that knows pkg-config only. Each case ends with cmocka's words.
set -eu
build=$1 source=$2 prefix=$3 libdir=$4 sanitize=$5
folder=$(mktemp -d /tmp/reelay-install-XXXXXX)
trap 'rm -rf "$folder"' EXIT

name=
begin() {
    name=$1
    echo "[ RUN      ] $name"
}
passed() {
    echo "[       OK ] $name"
}
failed() {
    echo "[  FAILED  ] $name"
    exit 1
}
run() {
    "$@" || failed
}

flags=
[ "$sanitize" = none ] || flags="-fsanitize=$sanitize"
root=$folder$prefix
export PKG_CONFIG_PATH="$root/$libdir/pkgconfig" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=
export LD_LIBRARY_PATH="$root/$libdir"
config() {
    pkg-config --define-variable=prefix="$root" "$@" libreelay
}

begin installing_puts_everything_in_its_place
run meson install -C "$build" --no-rebuild --quiet --destdir "$folder" >/dev/null
for file in include/reelay/reelay.h "$libdir/libreelay.so" "$libdir/libreelay.so.0" \
    "$libdir/libreelay.a" "$libdir/pkgconfig/libreelay.pc" share/man/man3/reelay_report.3; do
    [ -e "$root/$file" ] || { echo "missing: $file"; failed; }
done
passed

begin the_shared_library_exports_its_own_names_only
nm -D --defined-only "$root/$libdir/libreelay.so" | awk '{ print $3 }' | sort >"$folder/exported"
sed -n 's/.*\b\(reelay_[a-z_]*\)(.*/\1/p' "$source/include/reelay/reelay.h" | grep -v reelay_options |
    sort -u >"$folder/declared"
grep -v '^__\(odr_\)\?asan\|^__asan\|^_\(init\|fini\)$' "$folder/exported" >"$folder/exported.own" || true
run diff "$folder/declared" "$folder/exported.own"
passed

begin the_static_library_exports_its_own_names_only
nm -g --defined-only "$root/$libdir/libreelay.a" | awk 'NF == 3 { print $3 }' | sort |
    grep -v '^__\(odr_\)\?asan' >"$folder/exported.static"
run diff "$folder/declared" "$folder/exported.static"
passed

begin the_soname_has_the_interfaces_number
readelf -d "$root/$libdir/libreelay.so" | grep -q 'soname: \[libreelay.so.0\]' || failed
needed=$(readelf -d "$root/$libdir/libreelay.so" | sed -n 's/.*(NEEDED).*\[\(lib[a-z]*\).*/\1/p' |
    grep -v '^lib\(hiredis\|c\|asan\|ubsan\|tsan\|m\|pthread\)$') || true
[ -z "$needed" ] || { echo "needs: $needed"; failed; }
passed

# shellcheck disable=SC2046,SC2086 # flags are words
begin an_example_builds_with_pkg_config
run cc -Wall -Wextra -Werror $flags -o "$folder/report" "$source/examples/report.c" \
    $(config --cflags --libs)
run "$folder/report" --version >/dev/null
passed

# shellcheck disable=SC2046,SC2086
begin an_example_builds_with_the_static_library
run cc -Wall -Wextra -Werror $flags -o "$folder/report-static" "$source/examples/report.c" \
    $(config --cflags) "$root/$libdir/libreelay.a" $(pkg-config --libs hiredis) -pthread
run "$folder/report-static" --version >/dev/null
passed

begin the_header_is_c99_and_c_plus_plus
cat >"$folder/use.cc" <<'CODE'
#include <reelay/reelay.h>
int main()
{
    reelay_options options = {};
    options.redis_url = "redis://127.0.0.1:1";
    options.timeout_ms = 1;
    reelay *reporter = reelay_open(&options);
    if (reporter == nullptr || reelay_report(reporter, "a", "s", 0.5, "", nullptr) != REELAY_OK)
        return 1;
    return reelay_close(reporter) == REELAY_OK;
}
CODE
printf '#include <reelay/reelay.h>\n' >"$folder/use.c"
# shellcheck disable=SC2046,SC2086
run g++ -std=c++11 -Wall -Wextra -Wpedantic -Wno-missing-field-initializers -Werror $flags \
    -o "$folder/use" "$folder/use.cc" $(config --cflags --libs)
run "$folder/use"
# shellcheck disable=SC2046
run cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c -o "$folder/use.o" "$folder/use.c" $(config --cflags)
passed

if command -v man >/dev/null 2>&1; then
    begin the_manual_page_has_nothing_to_complain_of
    said=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$root/share/man/man3/reelay_report.3" 2>&1 >/dev/null)
    [ -z "$said" ] || { echo "$said"; failed; }
    passed
fi
