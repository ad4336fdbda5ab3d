#!/bin/sh
# Shows a bucket: a real S3 (OpenStack Swift's) on this machine, a server that keeps its
# videos there, and a video that is uploaded, converted, and played from the bucket.
#
#   make bucket               a clip made on the spot
#   make bucket VIDEO=path    your own
#
# Ends by itself, with status 0 if everything went as it should.
set -eu
cd "$(dirname "$0")/.."
folder=build/bucket
reelay=${REELAY_BIN:-build/reelay}
server=
swift=

say() {
    echo "make bucket: $*"
}

die() {
    echo "make bucket: $*" >&2
    for log in $folder/*.log; do
        [ ! -s "$log" ] || { echo "--- $log" && tail -n 12 "$log"; } >&2
    done
    exit 1
}

# The server first: it may have something to clear away.
stop_all() {
    pid=$server
    server=
    status=0
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || status=$?
    fi
    if [ -n "$swift" ]; then
        exec 3>&-
        wait "$swift" || true
        swift=
    fi
    [ $status -eq 0 ] || die "the server ended with status $status"
}

# wait_until WHAT COMMAND...: until the command succeeds, for a minute.
wait_until() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || die "waited in vain for $what"
        sleep 0.05
    done
}

of_swift() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" $folder/swift.json | grep .
}

address() {
    sed -n 's/.*event=listening .*address=\([^ ]*\).*/\1/p' $folder/serve.log | grep .
}

# fetch URL FILE
fetch() {
    curl --fail --silent --show-error --location --max-time 60 --output "$2" "$1"
}

command -v swift-proxy-server >/dev/null || die "Swift is not installed: make setup"
if [ -z "${REELAY_BIN:-}" ]; then
    scripts/setup.sh >/dev/null || scripts/setup.sh
    said=$(${MAKE:-make} --no-print-directory all 2>&1) || {
        echo "$said" >&2
        die "it does not build"
    }
fi

rm -rf $folder
mkdir -p $folder
trap 'stop_all' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

video=${VIDEO:-}
if [ -z "$video" ]; then
    video=$folder/clip.mp4
    say "making a clip of 20 seconds"
    ffmpeg -hide_banner -nostdin -loglevel error -y \
        -f lavfi -i testsrc2=size=854x480:rate=25:duration=20 \
        -f lavfi -i "sine=frequency=330:sample_rate=48000:duration=20" \
        -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$video"
fi
[ -r "$video" ] || die "$video cannot be read"

# It lives as long as somebody can write to it.
mkfifo $folder/swift.in
tests/support/swift_server.py <$folder/swift.in >$folder/swift.json 2>$folder/swift.log &
swift=$!
exec 3>$folder/swift.in
wait_until "Swift" of_swift bare
endpoint=$(of_swift endpoint)
AWS_ACCESS_KEY_ID=$(of_swift accessKey)
AWS_SECRET_ACCESS_KEY=$(of_swift secretKey)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
storage=$(of_swift bare)
say "an S3 is at $endpoint"
"$reelay" storage check "$storage" --origin http://page.example || die "the bucket does not do what it should"

"$reelay" serve --listen 127.0.0.1:0 --data-dir $folder/data --storage "$storage" 2>$folder/serve.log &
server=$!
wait_until "the server" address
say "serving at http://$(address), its videos in $storage"

"$reelay" upload --server "http://$(address)" --json "$video" >$folder/upload.out 2>$folder/upload.log ||
    die "the upload did not end well"
master=$(sed -n 's/.*"playlist_url":"\([^"]*\)".*/\1/p' $folder/upload.out | tail -n 1)
[ -n "$master" ] || die "the upload ended without a playlist"
say "completed: $master"

fetch "$master" $folder/master.m3u8 || die "$master cannot be fetched"
there=0
bytes=0
for name in $(sed -n '/^#/!p; s/.*URI="\([^"]*\)".*/\1/p' $folder/master.m3u8 | sort -u); do
    fetch "${master%/*}/$name" $folder/media.m3u8 || die "$name cannot be fetched"
    for url in $(sed -n '/^#/!p; s/.*URI="\([^"]*\)".*/\1/p' $folder/media.m3u8); do
        case $url in
        "$endpoint"/*) ;;
        *) die "$url does not lead to the bucket" ;;
        esac
        fetch "$url" $folder/segment || die "$url cannot be fetched"
        there=$((there + 1))
        bytes=$((bytes + $(wc -c <$folder/segment)))
    done
done
[ $there -gt 0 ] || die "nothing is listed"
say "$there files, $bytes bytes, came out of the bucket by signed URLs"
[ -z "$(find $folder/data -name '*.m4s')" ] || die "segments are left in the data directory"
stop_all
say "ok: nothing of it lies in the server's own folder"
