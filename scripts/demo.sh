#!/bin/sh
# Shows it: a video goes in, its progress runs by, a URL that plays comes out.
#
#   make demo                 a clip made on the spot
#   make demo VIDEO=path      your own
#
# On a terminal it keeps serving until Ctrl-C; without one it fetches what was
# published, says so, and ends.
set -eu
cd "$(dirname "$0")/.."
folder=build/demo
server=

say() {
    echo "make demo: $*"
}

die() {
    echo "make demo: $*" >&2
    [ ! -s $folder/serve.log ] || tail -n 20 $folder/serve.log >&2
    exit 1
}

# Asks the server to end and checks that it ends well; dies with its status.
stop_server() {
    [ -n "$server" ] || return 0
    pid=$server
    server=
    kill -TERM "$pid" 2>/dev/null || true
    status=0
    wait "$pid" || status=$?
    [ $status -eq 0 ] || die "the server ended with status $status"
}

scripts/setup.sh >/dev/null || scripts/setup.sh
said=$(${MAKE:-make} --no-print-directory all 2>&1) || {
    echo "$said" >&2
    die "it does not build"
}

rm -rf $folder
mkdir -p $folder
trap 'stop_server' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

video=${VIDEO:-}
if [ -z "$video" ]; then
    video=$folder/clip.mp4
    say "making a clip of 20 seconds"
    ffmpeg -hide_banner -nostdin -loglevel error -y \
        -f lavfi -i testsrc2=size=1280x720:rate=30:duration=20 \
        -f lavfi -i "aevalsrc=0.2*sin(2*PI*(220+110*floor(mod(t\,4)))*t):s=48000:d=20" \
        -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$video"
fi
[ -r "$video" ] || die "$video cannot be read"

build/reelay serve --listen 127.0.0.1:0 --data-dir $folder/data >$folder/serve.log 2>&1 &
server=$!
tries=0
until address=$(sed -n 's/.*event=listening .*address=\([^ ]*\).*/\1/p' $folder/serve.log | head -n 1) && [ -n "$address" ]; do
    kill -0 $server 2>/dev/null || die "the server did not start"
    tries=$((tries + 1))
    [ $tries -lt 200 ] || die "the server does not listen"
    sleep 0.05
done
origin=http://$address

say "the server is at $origin, uploading $video"
build/reelay upload --server "$origin" "$video"
path=$(curl --fail --silent --show-error "$origin/api/jobs?limit=1" |
    sed -n 's/.*"hls_url":"\([^"]*\)".*/\1/p')
[ -n "$path" ] || die "the upload ended without a playlist"
master=$origin$path
say "plays at $master"
say "the page is $origin/"

if [ -t 1 ] && [ -t 0 ] && [ -z "${CI:-}" ]; then
    say "serving until Ctrl-C"
    trap 'stop_server; exit 0' INT
    wait $server
    exit
fi

fetch() {
    curl --fail --silent --show-error --max-time 30 "$1" || die "$1 cannot be fetched"
}

# What a playlist refers to, as absolute URLs.
references() {
    {
        grep -v '^#' "$1" || true
        sed -n 's/^#EXT-X-\(MAP\|MEDIA\):.*URI="\([^"]*\)".*/\2/p' "$1"
    } | grep . | sed "s|^|$(dirname "$2")/|"
}

fetch "$master" >$folder/master.m3u8
playlists=0
segments=0
for media in $(references $folder/master.m3u8 "$master" | sort -u); do
    fetch "$media" >$folder/media.m3u8
    grep -q '^#EXT-X-ENDLIST' $folder/media.m3u8 || die "$media does not end"
    segment=$(grep -v '^#' $folder/media.m3u8 | head -n 1)
    [ -n "$segment" ] || die "$media lists no segment"
    bytes=$(fetch "$(dirname "$media")/$segment" | wc -c)
    [ "$bytes" -gt 0 ] || die "$segment is empty"
    playlists=$((playlists + 1))
    segments=$((segments + 1))
done
[ $playlists -gt 0 ] || die "the master playlist lists nothing"
stop_server
say "ok $playlists media playlists and $segments segments fetched, the server ended with status 0"
