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
show=demo
. scripts/demo-parts.sh
server=

# Asks the server to end and checks that it ends well; dies with its status.
stop_all() {
    [ -n "$server" ] || return 0
    pid=$server
    server=
    kill -TERM "$pid" 2>/dev/null || true
    status=0
    wait "$pid" || status=$?
    [ $status -eq 0 ] || die "the server ended with status $status"
}

still_runs() {
    [ -z "$server" ] || kill -0 "$server" 2>/dev/null || die "the server did not start"
}

begin
take_video 1280x720 30 20

"$reelay" serve --listen 127.0.0.1:0 --data-dir $folder/data >$folder/serve.log 2>&1 &
server=$!
wait_until "the server" address_of serve
origin=http://$(address_of serve)

say "the server is at $origin, uploading $video"
"$reelay" upload --server "$origin" "$video"
path=$(curl --fail --silent --show-error "$origin/api/jobs?limit=1" |
    sed -n 's/.*"hls_url":"\([^"]*\)".*/\1/p')
[ -n "$path" ] || die "the upload ended without a playlist"
master=$origin$path
say "plays at $master"
say "the page is $origin/"

if [ -t 1 ] && [ -t 0 ] && [ -z "${CI:-}" ]; then
    say "serving until Ctrl-C"
    trap 'stop_all; exit 0' INT
    wait $server
    exit
fi

# What a playlist refers to, as absolute URLs.
references() {
    {
        grep -v '^#' "$1" || true
        sed -n 's/^#EXT-X-\(MAP\|MEDIA\):.*URI="\([^"]*\)".*/\2/p' "$1"
    } | grep . | sed "s|^|$(dirname "$2")/|"
}

fetch "$master" $folder/master.m3u8
playlists=0
segments=0
for media in $(references $folder/master.m3u8 "$master" | sort -u); do
    fetch "$media" $folder/media.m3u8
    grep -q '^#EXT-X-ENDLIST' $folder/media.m3u8 || die "$media does not end"
    segment=$(grep -v '^#' $folder/media.m3u8 | head -n 1)
    [ -n "$segment" ] || die "$media lists no segment"
    fetch "$(dirname "$media")/$segment" $folder/segment
    [ -s $folder/segment ] || die "$segment is empty"
    playlists=$((playlists + 1))
    segments=$((segments + 1))
done
[ $playlists -gt 0 ] || die "the master playlist lists nothing"
stop_all
say "ok $playlists media playlists and $segments segments fetched, the server ended with status 0"
