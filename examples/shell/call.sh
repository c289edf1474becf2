#!/bin/sh
# Calls one method of a mesh with buf or grpcurl, and prints its answers as JSON. The server tells what methods there are
# (reflection), so nothing else is needed.
#
#   call.sh TaskService/ListTasks '{"page_size": 5}'
#   echo '{}' | call.sh FleetService/ListNodes -
#
# COMFYMESH_TARGET   where the mesh is; default: 127.0.0.1:7700
# COMFYMESH_API_KEY  who calls, where the mesh wants to know. ps shows it to others on this machine.
# TOOL               buf or grpcurl; default: whichever is in PATH, else the buf that `make setup` puts into .venv
set -eu

target=${COMFYMESH_TARGET:-127.0.0.1:7700}
key=${COMFYMESH_API_KEY:-}
tool=${TOOL:-$(command -v buf || command -v grpcurl || command -v "$(dirname "$0")/../../.venv/bin/buf")} || {
    echo "call.sh: neither buf nor grpcurl is in PATH or in .venv/bin; install one, or run make setup" >&2
    exit 127
}
method=comfymesh.v1.$1
data=${2:-}
[ "$data" = - ] && data=$(cat)

# With TLS: https:// for buf, no -plaintext for grpcurl, and --cacert or -cacert where its CA is one of your own.
call() {
    case $tool in
    *grpcurl) "$tool" -plaintext ${key:+-H "authorization: Bearer $key"} -d @ "$target" "$1" ;;
    *) "$tool" curl --protocol grpc --http2-prior-knowledge ${key:+-H "authorization: Bearer $key"} -d @- "http://$target/$1" ;;
    esac
}

printf '%s' "${data:-"{}"}" | call "$method" || {
    code=$?
    # Where nobody listens a tool says what it can't do, and not why. Every mesh answers how it is.
    if [ $code != 127 ] && ! printf '{}' | call grpc.health.v1.Health/Check >/dev/null 2>&1; then
        echo "call.sh: no mesh answers at $target; \`make dev\` in another terminal runs one, or set COMFYMESH_TARGET" >&2
    fi
    exit $code
}
