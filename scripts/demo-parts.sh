# shellcheck shell=sh
# What the shows have in common; sourced, in the project's folder. `show` is the name of
# the one that runs, and `stop_all` ends what it has started; here are
#
#   folder     build/SHOW, where everything of it lies; its *.log are shown when it fails
#   reelay     the program
folder=build/$show
reelay=${REELAY_BIN:-build/reelay}

say() {
    echo "make $show: $*"
}

die() {
    echo "make $show: $*" >&2
    for log in "$folder"/*.log; do
        [ ! -s "$log" ] || { echo "--- $log" && tail -n 12 "$log"; } >&2
    done
    exit 1
}

# begin: everything that it needs is there, and the folder is empty. What was started is
# stopped at the end, whichever it is.
begin() {
    if [ -z "${REELAY_BIN:-}" ]; then
        say "installing what is missing, and building: minutes, the first time"
        scripts/setup.sh >/dev/null || scripts/setup.sh
        said=$(${MAKE:-make} --no-print-directory all 2>&1) || {
            echo "$said" >&2
            die "it does not build"
        }
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    trap 'stop_all' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# take_video SIZE RATE SECONDS: $video is VIDEO, or a clip made on the spot.
take_video() {
    video=${VIDEO:-}
    if [ -z "$video" ]; then
        video=$folder/clip.mp4
        say "making a clip of $3 seconds"
        ffmpeg -hide_banner -nostdin -loglevel error -y \
            -f lavfi -i "testsrc2=size=$1:rate=$2:duration=$3" \
            -f lavfi -i "aevalsrc=0.2*sin(2*PI*(220+110*floor(mod(t\,4)))*t):s=48000:d=$3" \
            -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$video"
    fi
    [ -r "$video" ] || die "$video cannot be read"
}

# wait_until WHAT COMMAND...: until the command succeeds, for four minutes. A show's own
# `still_runs` may say before that there is nothing to wait for.
wait_until() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        still_runs
        tries=$((tries + 1))
        [ $tries -lt 4800 ] || die "waited in vain for $what"
        sleep 0.05
    done
}

still_runs() {
    :
}

# address_of NAME: where the server listens whose log is NAME.log
address_of() {
    sed -n 's/.*event=listening .*address=\([^ ]*\).*/\1/p' "$folder/$1.log" | grep .
}

# fetch URL FILE
fetch() {
    curl --fail --silent --show-error --location --max-time 60 --output "$2" "$1" || die "$1 cannot be fetched"
}
