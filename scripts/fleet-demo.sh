#!/bin/sh
# Shows several nodes: two that serve, two that work, one Redis. A video goes in at the
# one, its progress is watched at the other, and the worker that converts it is killed
# in the middle.
#
#   make fleet                a clip made on the spot
#   make fleet VIDEO=path     your own, long enough to be killed in
#
# Ends by itself, with status 0 if everything went as it should.
set -eu
cd "$(dirname "$0")/.."
show=fleet
. scripts/demo-parts.sh
nodes=
redis=
upload=

# The nodes end as they should, and Redis last.
stop_all() {
    pids=$nodes
    nodes=
    bad=
    for pid in $pids; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" || bad="$bad $pid"; done
    [ -z "$redis" ] || { kill -KILL "$redis" 2>/dev/null && wait "$redis" || true; } 2>/dev/null
    redis=
    [ -z "$bad" ] || die "these processes did not end well:$bad"
}

still_runs() {
    [ -z "$upload" ] || kill -0 "$upload" 2>/dev/null || die "the upload at A ended too soon"
}

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

is_ready() {
    curl --fail --silent "http://$1/ready"
}

# start NAME COMMAND...: its pid is in $started.
start() {
    name=$1
    shift
    "$reelay" "$@" --engine "$engine" --data-dir $folder/data >"$folder/$name.log" 2>&1 &
    started=$!
    nodes="$nodes $started"
}

converts() {
    ps -o comm= --ppid "$1" | grep -qx ffmpeg
}

# How far the node B says the job is, in percent.
percent() {
    sed -n 's/.*"progress":\(0\|1\|0\.[0-9]*\)[,}].*/\1/p' $folder/watch.out | tail -n 1 |
        awk '{ print int($1 * 100) }'
}

has_come_to() {
    now=$(percent)
    [ -n "$now" ] && [ "$now" -ge "$1" ]
}

command -v redis-server >/dev/null || die "redis-server is not installed: make setup"
begin
mkdir $folder/redis
take_video 854x480 25 30

# A port that is taken ends it at once: then another one.
port=$((20000 + $$ % 20000))
for try in 1 2 3 4 5 6 7 8; do
    redis-server --port $port --bind 127.0.0.1 --dir $folder/redis --save '' --appendonly yes \
        >$folder/redis.log 2>&1 &
    redis=$!
    sleep 0.2
    kill -0 $redis 2>/dev/null && break
    redis=
    port=$((port + try * 101))
done
[ -n "$redis" ] || die "Redis did not start"
engine=redis://127.0.0.1:$port/0

start a serve --listen 127.0.0.1:0
start b serve --listen 127.0.0.1:0
start 1 worker --lease 3s --preset medium
worker_1=$started
start 2 worker --lease 3s --preset medium
worker_2=$started
wait_until "node A" address_of a
wait_until "node B" address_of b
a=$(address_of a)
b=$(address_of b)
wait_until "node A to be ready" is_ready "$a"
wait_until "node B to be ready" is_ready "$b"
say "nodes A (http://$a) and B (http://$b) serve, 1 and 2 work, Redis is at $engine"

say "uploading $video to A"
"$reelay" upload --server "http://$a" --json "$video" >$folder/upload.out 2>$folder/upload.log &
upload=$!
job_id() {
    curl --fail --silent "http://$b/api/jobs?limit=1" | sed -n 's/.*"id":"\{0,1\}\([^",]*\).*/\1/p' | grep .
}
wait_until "B to know of the job" job_id
job=$(job_id)
say "watching job $job at B"
"$reelay" watch "$job" --server "http://$b" --json >$folder/watch.out 2>$folder/watch.log &
watch=$!

wait_until "B to say that it is well on its way" has_come_to 60
if converts $worker_1; then
    killed=1 victim=$worker_1 heir=2 heir_pid=$worker_2
elif converts $worker_2; then
    killed=2 victim=$worker_2 heir=1 heir_pid=$worker_1
else
    die "nobody converts it any more: the video is too short"
fi
say "B says $(percent) %; worker $killed is converting, and is killed (kill -9)"
began=$(milliseconds)
kill -KILL "$victim"
wait "$victim" 2>/dev/null || true
nodes=$(echo "$nodes" | sed "s/ $victim\>//")
wait_until "worker $heir to take over" converts "$heir_pid"
kept=$(sed -n 's/.*event=conversion_resumed .*segments=\([0-9]*\).*/\1/p' "$folder/$heir.log")
say "worker $heir took over after $(($(milliseconds) - began)) ms (the lease is 3 s), keeping ${kept:-0} segments of 4 s"

wait $upload || die "the upload at A did not end well"
wait $watch || die "who watched at B did not see it end well"
path=$(sed -n 's/.*"playlist_url":"\([^"]*\)".*/\1/p' $folder/upload.out | tail -n 1 | sed 's|^[a-z]*://[^/]*||')
[ -n "$path" ] || die "the upload ended without a playlist"
ends=$(grep -c '"state":"completed"' $folder/watch.out) || true
[ "$ends" -eq 1 ] || die "B told the end $ends times"
backwards=$(sed -n 's/.*"progress":\([0-9.]*\).*/\1/p' $folder/watch.out | awk '$1 < last { n++ } { last = $1 } END { print n + 0 }')
[ "$backwards" -eq 0 ] || die "B's progress ran backwards $backwards times"
say "completed, once; B's progress never ran backwards"

for node in "$a" "$b"; do
    curl --fail --silent --show-error --max-time 30 "http://$node$path" | grep -q '^#EXTM3U' || die "http://$node$path cannot be fetched"
done
say "plays from both: http://$a$path and http://$b$path"
stop_all
say "ok, and every node that was left ended with status 0"
