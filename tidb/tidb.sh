#!/usr/bin/env bash
# Runs TiDB on 127.0.0.1 for as long as this script runs. `make` calls it:
#
#   tidb.sh build       get target/tidb-server from the Docker image (Linux), or build it with Go
#   tidb.sh             run TiDB until Ctrl-C
#   tidb.sh COMMAND...  run a command with the server in DATABASE_URL; if that is not set, on TIDB_PORT
#                       (default 4000); if nothing listens there, start TiDB for this command only
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."

version=$(cat tidb/version)
# The full name: Podman, if installed as `docker`, does not search for a short one.
image=docker.io/pingcap/tidb:$version
container=tidb-quickstart-$$
port=${TIDB_PORT:-4000}

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || die "invalid TIDB_PORT $port: use a number from 1 to 65535"

# Creates a container, without starting it. Fails if no Docker engine answers.
create_container() {
    docker info >/dev/null 2>&1 || return 1
    docker image inspect "$image" >/dev/null 2>&1 || { docker pull "$image" >&2 & wait $!; } || return 1
    docker create --name "$container" --publish "127.0.0.1:$port:4000" "$image" >/dev/null &
    creating=$!
    wait "$creating"
}

# Succeeds if a file is a TiDB server of this version that runs on this machine.
is_server() { [[ $("$1" -V 2>/dev/null) == *"Release Version: $version"$'\n'* ]]; }

build() {
    local new=$folder/tidb-server
    if is_server target/tidb-server; then return; fi
    if [ "$(uname)" = Linux ] && create_container; then
        docker cp "$container:/tidb-server" "$new" >/dev/null & wait $! || true
    fi
    is_server "$new" || { build_with_go "$new" & wait $!; }
    mv "$new" target/tidb-server
}

build_with_go() {
    local go
    go=go$(sed -n 's/^go //p' tidb/go.mod)
    # Settings for cross-compilation would build a server that does not run here.
    unset GOOS GOARCH GOEXPERIMENT
    # Some distributions set these: then Go cannot download the Go version that TiDB needs.
    if [ "${GOPROXY-}" = direct ]; then unset GOPROXY; fi
    if [ "$(go env GOSUMDB 2>/dev/null)" = off ]; then export GOSUMDB=sum.golang.org; fi
    export GOTOOLCHAIN=$go GOFLAGS=-mod=readonly GOWORK=off GO111MODULE=on
    # Without garbage collection the compiler is a third faster. Only macOS needs C.
    export GOGC=off GOMEMLIMIT=1GiB
    if [ "$(uname)" = Linux ]; then export CGO_ENABLED=0; fi
    [[ $(go version 2>/dev/null) == *" $go "* ]] || die \
        "To run TiDB here, install Docker (\`docker info\` must succeed) or Go 1.21 or later (it downloads $go):
  sudo apt-get install golang-go (Debian 13, Ubuntu 24.04), brew install go (macOS), https://go.dev/doc/install
Or set DATABASE_URL to the URL of an existing TiDB."
    say "Building TiDB $version (first run only): 3 to 5 minutes on 2 cores, 380 MB download, 4.5 GB of" \
        "disk, mostly for Go's caches. \`go clean -cache -modcache\` empties them for all projects."
    run_go "lines of download log" mod download -C tidb -x
    # Halves the build time, but TiDB is slower: do not benchmark this build.
    run_go "of about 1,700 packages" build -C tidb -v -buildvcs=false -o "$1" \
        -gcflags='all=-l -dwarf=false -c=1' \
        -ldflags "-s -w -X github.com/pingcap/tidb/pkg/parser/mysql.TiDBReleaseVersion=$version" \
        github.com/pingcap/tidb/cmd/tidb-server
}

# Runs Go, and reports progress every 200 lines of output. $1 describes the lines.
run_go() {
    local count=0
    go "${@:2}" 2>&1 | tee "$folder/log" | while read -r _; do
        count=$((count + 1))
        if [ $((count % 200)) = 0 ]; then say "  $count $1, $SECONDS s"; fi
    done || { tail -n 20 "$folder/log" >&2; die "Go could not build TiDB. The end of its output is above."; }
}

is_answering() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

start() {
    if [ "$(uname)" != Linux ] && ! is_server target/tidb-server && create_container; then
        docker start --attach "$container" >"$folder/log" 2>&1 &
    else
        build
        # TiDB writes its slow log to the current folder.
        (cd "$folder" && exec ../tidb-server -store unistore -path '' -host 127.0.0.1 -P "$port" \
            -socket '' -L error -report-status=false -temp-dir .) >"$folder/log" 2>&1 &
    fi
    server=$!
    until is_answering; do check_server; sleep 0.1; done
}

# If TiDB has stopped, shows the end of its log and fails. `cut` shortens the configuration line.
check_server() {
    if kill -0 "$server" 2>/dev/null; then return; fi
    tail -n 20 "$folder/log" | cut -c 1-300 >&2
    die "TiDB stopped. The end of its log is above."
}

# Kills TiDB at once: there is no data to save.
# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    trap '' INT TERM HUP
    # Killing the docker client stops neither `docker create` nor the container.
    if [ -n "${creating-}" ]; then wait "$creating" || true; fi
    for group in $(jobs -p); do kill -9 -- "-$group" || true; done
    wait
    docker rm --force "$container" || true
    rm -rf "$folder"
} >/dev/null 2>&1

if [ "${1-}" != build ]; then
    if [ $# -gt 0 ] && [ -n "${DATABASE_URL+set}" ]; then exec "$@"; fi
    export DATABASE_URL=mysql://root@127.0.0.1:$port/test_sqlalchemy
    if is_answering; then
        [ $# -gt 0 ] || die "Port $port is in use. To use another port: TIDB_PORT=4001 make tidb"
        say "Using the server on 127.0.0.1:$port. To start a separate TiDB: TIDB_PORT=4001 make run"
        exec "$@"
    fi
fi

# Long commands run in the background, so that bash handles signals at once, and in their own process
# groups, so that `clean_up` also kills their children.
set -m
mkdir -p target
folder=$(mktemp -d "$PWD/target/tidb-$port.XXXXXX")
# A process that is killed cannot remove its temporary files.
export TMPDIR=$folder
trap clean_up EXIT
# `exit` alone would run it too, but a second signal could interrupt it.
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM
trap 'clean_up; exit 129' HUP

status=0
if [ "${1-}" = build ]; then build; exit; fi
start
if [ $# = 0 ]; then
    say "TiDB listens on 127.0.0.1:$port (user root, no password). Press Ctrl-C to stop it and delete its data."
    wait "$server" || true
else
    "$@" & wait $! || status=$?
fi
check_server
say "Stopping TiDB and deleting its data. To keep them, run \`make tidb\` in another terminal, then \`make run\`."
exit "$status"
