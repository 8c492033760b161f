#!/usr/bin/env bash
# A real TiDB on this machine. `make` calls this.
#
#   tidb.sh build  get target/tidb-server: on Linux out of the Docker image, or else built by Go
#   tidb.sh start  start it on 127.0.0.1; on macOS, unless it is built, a container of the image
#   tidb.sh stop   stop what `start` started, and nothing else
#
# TIDB_PORT is its port, 4000 if not set; TIDB_TIMEOUT how many seconds it may take to start, 60 if
# not set.
set -euo pipefail
unset CDPATH
# Docker ends by itself on Ctrl-C, which bash would take for a pull that failed.
trap 'exit 130' INT
cd "$(dirname "$0")/.."

port=${TIDB_PORT:-4000}
timeout=${TIDB_TIMEOUT:-60}
container=tidb-quickstart-$port
# What is kept of a server lies in a folder of this name and some letters. `cargo clean` leaves it,
# and it is not under $TMPDIR, which may be another one when `stop` looks.
folders=/tmp/tidb-quickstart-$port
make_stop="${TIDB_PORT:+TIDB_PORT=$port }make stop"
advice="Choose another port, as in \`TIDB_PORT=4001 make run\`."

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || die "TIDB_PORT=$port is no port."
[[ $timeout =~ ^[1-9][0-9]*$ ]] || die "TIDB_TIMEOUT=$timeout: write whole seconds."

# shellcheck source=tidb/build.sh
source tidb/build.sh

# What a server on the port says to whoever connects. MySQL and TiDB begin with 5 bytes, the second
# to fourth of them NUL; then come their version and a NUL.
greeting() {
    local text=
    for _ in length length sequence version; do
        IFS= read -r -d '' -t 2 text || break
    done 2>/dev/null <"/dev/tcp/127.0.0.1/$port" || true
    printf %s "$text" | LC_ALL=C tr -cd ' -~'
}

start() {
    local found
    found=$(greeting)
    case $found in
        *TiDB*) say "TiDB $found answers on 127.0.0.1:$port already."; return ;;
        ?*) die "What answers on 127.0.0.1:$port is no TiDB: \"$found\". $advice" ;;
    esac
    if ! is_server target/tidb-server; then
        if [ "$(uname)" != Linux ] && have_image; then
            advice+=" Or let Go build a server: \`make target/tidb-server\`."
            say "Starting $image with Docker on 127.0.0.1:$port."
            serve docker run --rm --name "$container" --publish "127.0.0.1:$port:4000" "$image"
            return
        fi
        # Better now than after minutes of building.
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            die "Something that is silent has port $port. $advice"
        fi
        build
    fi
    say "Starting target/tidb-server on 127.0.0.1:$port."
    serve "$PWD/target/tidb-server" -store unistore -path '' -host 127.0.0.1 -P "$port" \
        -report-status=false -socket '' -temp-dir . -L error
}

# Starts a server and waits until a TiDB answers: this one, or that of another `start` which was
# quicker, for only one of them gets the port, or the name of the container.
serve() {
    local folder found deadline=$((SECONDS + timeout))
    folder=$(mktemp -d "$folders.XXXXXX")
    mkfifo "$folder/stop"
    # A process group of its own, so that Ctrl-C in this terminal does not reach it.
    set -m
    keep "$folder" "$@" </dev/null >"$folder/log" 2>&1 &
    set +m
    until found=$(greeting) && [[ $found == *TiDB* ]]; do
        # Every running server has its pipe; one left by a crash only delays the failure.
        if [ "$SECONDS" -ge "$deadline" ] || ! compgen -G "$folders.*/stop" >/dev/null; then
            tail -n 20 "$folder/log" 2>/dev/null | cut -c 1-300 >&2 || true
            if end "$folder"; then rm -rf "$folder"; fi
            die "TiDB did not start in $timeout s (TIDB_TIMEOUT), or ended: above is the end of its" \
                "log. $advice"
        fi
        sleep 0.2
    done
    say "TiDB $found answers on 127.0.0.1:$port, user root, no password. It keeps its data until" \
        "\`$make_stop\`. Its log: $folders.*/log"
}

# Runs a server in its folder, for all that it writes, and stays with it, because only a parent can be
# sure that a process number is still its child's. The server holds the pipe open, as descriptor 3: so
# `read` ends when `end` writes into it, and when the server ends by itself.
keep() {
    cd "$1"
    TMPDIR=$1 "${@:2}" 3>stop &
    echo $! >pid
    if read -r _ <stop; then
        # There is no data to save. A container does not end with its client.
        kill -9 $! || true
        if [ "$2" = docker ]; then docker rm --force "$container" || true; fi
    fi
    wait
    rm stop
}

# Ends the server of a folder. Fails if it is there still.
end() {
    local deadline=$((SECONDS + 10))
    while [ -p "$1/stop" ] && [ "$SECONDS" -lt "$deadline" ]; do
        # Opened both ways, it does not wait for a reader that may be gone.
        echo stop 1<>"$1/stop"
        sleep 0.1
    done
    ! is_held "$1/stop"
}

# Whether a process holds this pipe open: only then is what was written into it still there.
is_held() {
    # To open it for reading alone would wait for a writer; so it is opened both ways before, and
    # that is closed again, for it would count.
    # shellcheck disable=SC2094
    [ -p "$1" ] && (exec 4>&- && read -r _) 4<>"$1" <"$1"
}

stop() {
    local folder message="make has started no TiDB on port $port: there is nothing to stop."
    for folder in "$folders".*; do
        [ -O "$folder" ] || continue
        end "$folder" ||
            die "Process $(cat "$folder/pid") does not end. End it, then \`$make_stop\` again."
        # A container may outlive its client.
        if docker inspect "$container" >/dev/null 2>&1; then
            docker rm --force "$container" >/dev/null
        fi
        rm -rf "$folder"
        message="Stopped the TiDB on port $port."
    done
    say "$message"
}

case ${1-} in
    build | start | stop) "$1" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' tidb/tidb.sh >&2; exit 2 ;;
esac
