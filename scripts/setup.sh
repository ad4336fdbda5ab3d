#!/bin/sh
# Installs every package that building and testing need: the only place where
# packages are named. Says what it does, and does nothing where nothing is missing.
set -eu
cd "$(dirname "$0")/.."

packages="
    build-essential pkg-config meson ninja-build
    libuv1-dev libssl-dev zlib1g-dev libjansson-dev libcjose-dev libsqlite3-dev
    uthash-dev libseccomp-dev libcurl4-openssl-dev libexpat1-dev libcmocka-dev
    clang clang-tidy clang-format libclang-rt-dev
    ffmpeg yt-dlp chromium nginx pv
    python3 python3-websockets python3-socketio python3-aiohttp python3-requests python3-websocket
    redis-server python3-redis libhiredis-dev liblua5.1-0-dev
    celery python3-fastapi python3-uvicorn
    swift-proxy swift-account swift-container swift-object
    git ca-certificates openssl curl procps util-linux iproute2"
tools="cc pkg-config meson ninja ffmpeg ffprobe python3 git openssl curl node npm"
libraries="libuv openssl zlib jansson cjose sqlite3 libseccomp libcurl expat hiredis lua5.1 cmocka"
node_least=18

say() {
    echo "setup: $*"
}

die() {
    echo "setup: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "installing packages needs root: run it as root, or install sudo"
    fi
}

# Runs a command without a word, unless it fails.
quietly() {
    said=$("$@" 2>&1 </dev/null) || {
        echo "$said" >&2
        die "failed: $*"
    }
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The llhttp library: a package of its own since Debian 13; before that, the
# sources that come with node-llhttp are compiled in.
llhttp_package() {
    if is_installed libllhttp-dev || apt-cache show libllhttp-dev >/dev/null 2>&1; then
        echo libllhttp-dev
    else
        echo node-llhttp
    fi
}

has_node() {
    command -v npm >/dev/null 2>&1 &&
        [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge $node_least ]
}

missing_packages() {
    for package in $packages "$(llhttp_package)"; do
        is_installed "$package" || echo "$package"
    done
    has_node || echo nodejs npm
}

# nginx, redis-server and swift are for tests to start, not for Debian. This is how
# invoke-rc.d is told (its manual page, "policy-rc.d"); a machine that has its
# own policy keeps it.
policy=/usr/sbin/policy-rc.d

install_quietly() {
    held=
    if [ ! -e $policy ]; then
        held=1
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
        trap 'as_root rm -f $policy' EXIT
    fi
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y install --no-install-recommends "$@"
    [ -z "$held" ] || as_root rm -f $policy
    trap - EXIT
}

install_packages() {
    # shellcheck disable=SC2046 # one word per package
    set -- $(missing_packages)
    [ $# -gt 0 ] || return 0
    say "apt-get update"
    quietly as_root apt-get -qq update
    # shellcheck disable=SC2046 # what is known may have changed with the update
    set -- $(missing_packages)
    say "apt-get install $*"
    say "this may take some minutes"
    install_quietly "$@"
    has_node || die "node $node_least or newer is needed; this system's packages have $(node --version)"
}

# Not a Debian: whoever runs it brings the tools.
require_tools() {
    missing=
    for tool in $tools; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    for library in $libraries; do
        pkg-config --exists "$library" 2>/dev/null || missing="$missing $library(-dev)"
    done
    [ -z "$missing" ] || die "no apt-get here, and these are missing:$missing"
    has_node || die "node $node_least or newer is needed"
    say "no apt-get here; the tools are there already"
}

# npm ci in a folder, unless what is installed there is what its lock file says.
install_modules() {
    [ -f "$1/package-lock.json" ] || return 0
    wanted=$(cat "$1/package.json" "$1/package-lock.json" | cksum)
    [ "$(cat "$1/node_modules/.setup" 2>/dev/null)" != "$wanted" ] || return 0
    say "npm ci in $1/"
    quietly npm ci --prefix "$1" --no-audit --no-fund
    echo "$wanted" >"$1/node_modules/.setup"
}

if command -v apt-get >/dev/null 2>&1; then
    install_packages
else
    require_tools
fi
install_modules web
install_modules tests/e2e
install_modules tests/storage
say "everything is there"
