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
show=bucket
. scripts/demo-parts.sh
server=
swift=

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

of_swift() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" $folder/swift.json | grep .
}

command -v swift-proxy-server >/dev/null || die "Swift is not installed: make setup"
begin
take_video 854x480 25 20

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
wait_until "the server" address_of serve
address=$(address_of serve)
say "serving at http://$address, its videos in $storage"

"$reelay" upload --server "http://$address" --json "$video" >$folder/upload.out 2>$folder/upload.log ||
    die "the upload did not end well"
master=$(sed -n 's/.*"playlist_url":"\([^"]*\)".*/\1/p' $folder/upload.out | tail -n 1)
[ -n "$master" ] || die "the upload ended without a playlist"
say "completed: $master"

fetch "$master" $folder/master.m3u8
there=0
bytes=0
for name in $(sed -n '/^#/!p; s/.*URI="\([^"]*\)".*/\1/p' $folder/master.m3u8 | sort -u); do
    fetch "${master%/*}/$name" $folder/media.m3u8
    for url in $(sed -n '/^#/!p; s/.*URI="\([^"]*\)".*/\1/p' $folder/media.m3u8); do
        case $url in
        "$endpoint"/*) ;;
        *) die "$url does not lead to the bucket" ;;
        esac
        fetch "$url" $folder/segment
        there=$((there + 1))
        bytes=$((bytes + $(wc -c <$folder/segment)))
    done
done
[ $there -gt 0 ] || die "nothing is listed"
say "$there files, $bytes bytes, came out of the bucket by signed URLs"
[ -z "$(find $folder/data -name '*.m4s')" ] || die "segments are left in the data directory"
stop_all
say "ok: nothing of it lies in the server's own folder"
