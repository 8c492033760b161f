#!/usr/bin/env bash
# A real TiDB on this machine: `make tidb`, `make stop` and `make target/tidb-server` call this.
#
#   tidb.sh build    build target/tidb-server from the Go module that go.mod beside this file pins
#   tidb.sh start    start a TiDB on 127.0.0.1:4000, by Docker or else by target/tidb-server
#   tidb.sh stop     stop the TiDB that `start` started, and no other
#   tidb.sh answers  whether a server greets on 127.0.0.1:4000
#   tidb.sh wait     wait for up to a minute until one does
set -euo pipefail
cd "$(dirname "$0")/.."

# The release; go.mod pins the same.
version=v8.5.6
# TiDB refuses to start when it was built by another Go than its release's. Go 1.21 and later
# download the one that is named here.
go_release=go1.25.8
package=github.com/pingcap/tidb/cmd/tidb-server
image=pingcap/tidb:$version
port=4000

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# A server greets as soon as a client connects. That a port can be connected to is not enough:
# Docker's proxy lets that happen before there is a TiDB behind it.
answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -n 1 -t 2 _ <&3) 2>/dev/null
}

have_docker() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

have_go() {
    local minor
    command -v go >/dev/null || return 1
    minor=$(GOTOOLCHAIN=local go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 21 ]
}

# Shows how far `go` is, which would be silent for minutes: on a terminal by one line that is
# redrawn, elsewhere by a line every 20 seconds. Takes the number of packages that it will build.
progress() {
    local total=$1 line what modules=0 built=0 shown=0
    while IFS= read -r line; do
        case $line in
            'go: downloading '*) modules=$((modules + 1)) ;;
            *) built=$((built + 1)) ;;
        esac
        what="downloaded $modules modules, $SECONDS s"
        if [ "$built" -gt 0 ]; then what="built $built of $total packages, $SECONDS s"; fi
        if [ -t 2 ]; then
            printf '\r\033[K%s' "$what" >&2
        elif [ "$SECONDS" -ge $((shown + 20)) ]; then
            shown=$SECONDS
            say "$what"
        fi
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

build() {
    mkdir -p target
    if have_go; then
        build_by_go
    elif have_docker && [ "$(uname)" = Linux ]; then
        say "Without Go 1.21 or later: taking the TiDB server out of the image $image."
        local container
        container=$(docker create "$image")
        docker cp "$container:/tidb-server" target/tidb-server.new
        docker rm "$container" >/dev/null
        # Else it keeps the image's time, and is older than go.mod to make.
        touch target/tidb-server.new
    else
        die "target/tidb-server is built by Go 1.21 or later: install Go, then try again."
    fi
    mv target/tidb-server.new target/tidb-server
    say "target/tidb-server is there, after $SECONDS s."
}

build_by_go() {
    say "Building the TiDB server $version, once: 5 to 8 minutes on 2 cores, 370 MB of downloads," \
        "4.5 GB of disk, most of it in Go's caches."
    export GOTOOLCHAIN=$go_release GOFLAGS=-mod=readonly GOWORK=off
    local total
    total=$(cd tidb && go list -deps $package 2> >(tee ../target/tidb-build.log | progress 0) | wc -l) ||
        build_failed
    # Unoptimised and without debug information it is built in half the time. It runs slower, which
    # a quick start and tests do not notice; do not judge the speed of TiDB by it.
    (cd tidb && go build -v -buildvcs=false -gcflags='all=-N -l -dwarf=false' \
        -ldflags "-s -w -X github.com/pingcap/tidb/pkg/parser/mysql.TiDBReleaseVersion=$version" \
        -o ../target/tidb-server.new $package) 2>&1 |
        tee target/tidb-build.log | progress $((total)) || build_failed
}

build_failed() {
    tail -n 20 target/tidb-build.log >&2
    die "The TiDB server could not be built. All that Go said is in target/tidb-build.log."
}

# Waits until the server answers, as long as the command given, which checks on it, succeeds.
wait_for_answer() {
    local start=$SECONDS
    until answers; do
        "$@" || return 1
        [ $((SECONDS - start)) -lt 60 ] || return 1
        sleep 0.2
    done
}

container_runs() { [ "$(docker inspect -f '{{.State.Running}}' "$(cat target/tidb.container)")" = true ]; }
server_runs() { kill -0 "$(cat target/tidb.pid)" 2>/dev/null; }

start() {
    if answers; then
        say "127.0.0.1:$port answers already: there is nothing to start."
        return
    fi
    # What a crash or a restart of the machine has left is of no use.
    stop 2>/dev/null || true
    mkdir -p target
    if have_docker; then
        say "Starting $image with Docker on 127.0.0.1:$port."
        local container
        container=$(docker create --publish "127.0.0.1:$port:4000" "$image")
        echo "$container" >target/tidb.container
        docker start "$container" >/dev/null && wait_for_answer container_runs ||
            start_failed docker logs --tail 20 "$container"
    elif have_go || [ -x target/tidb-server ]; then
        [ -x target/tidb-server ] || build
        say "Starting target/tidb-server on 127.0.0.1:$port."
        : >target/tidb.log
        # A process group of its own, so that Ctrl-C in this terminal does not reach it.
        set -m
        nohup target/tidb-server -store unistore -path '' -host 127.0.0.1 -P $port \
            -report-status=false -socket '' \
            -log-file target/tidb.log -log-slow-query target/tidb-slow.log \
            </dev/null >target/tidb.out 2>&1 &
        echo $! >target/tidb.pid
        set +m
        wait_for_answer server_runs || start_failed tail -q -n 20 target/tidb.log target/tidb.out
    else
        die "A local TiDB needs a Docker engine that answers (\`docker info\`) or Go 1.21 or later:" \
            "install one of them. Or set DATABASE_URL to a TiDB that you have."
    fi
    say "TiDB $version answers on 127.0.0.1:$port, user root, no password. It keeps its data in" \
        "memory, until \`make stop\`."
}

# Takes the command that shows the end of the log.
start_failed() {
    "$@" >&2 || true
    stop
    die "TiDB did not start: above is the end of its log."
}

stop() {
    if [ ! -f target/tidb.container ] && [ ! -f target/tidb.pid ]; then
        say "\`make tidb\` has started nothing here: there is nothing to stop."
        return
    fi
    if [ -f target/tidb.pid ]; then
        local pid
        pid=$(cat target/tidb.pid)
        # The number may be another process's by now.
        if ps -o args= -p "$pid" | grep -q '^target/tidb-server '; then
            kill "$pid"
            while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
            say "Stopped target/tidb-server."
        fi
        rm target/tidb.pid
    fi
    if [ -f target/tidb.container ]; then
        docker rm --force "$(cat target/tidb.container)" >/dev/null
        rm target/tidb.container
        say "Stopped the TiDB container."
    fi
}

case ${1-} in
    build | start | stop | answers) "$1" ;;
    wait) wait_for_answer true ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
