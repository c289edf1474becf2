#!/usr/bin/env bash
# Makes the bundle from which the node agent is installed on a host without a network: wheels, requirements with the
# hash of each, the unit and install.sh, in one tar. Prints its path.
#
#   deploy/host/release.sh
#
# VERSION           of the bundle (default: the agent's version and the commit)
# PYTHON_VERSION    of the hosts (default 3.11, Debian 12)
# OUT               folder for it (default out/release)
# WORKSPACE_PYTHON  interpreter of an environment in which the workspace is installed (default .venv/bin/python)
set -euo pipefail
shopt -s inherit_errexit
source "$(dirname "${BASH_SOURCE[0]}")/../platforms.sh"

OWN=(protos services/common services/node-agent)

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  python=${WORKSPACE_PYTHON:-.venv/bin/python} python_version=${PYTHON_VERSION:-3.11} out=${OUT:-out/release}
  version=${VERSION:-$(default_version)}
  local name; name=comfymesh-agent-$version-py$python_version-$(uname -m)
  cache=.cache/release/$python_version
  ensure_wheels
  bundle=$(mktemp --directory)
  trap 'rm -rf "$bundle"' EXIT
  fill "$bundle/$name"
  mkdir -p "$out"
  # The same input makes the same file.
  tar --create --directory="$bundle" --sort=name --owner=root:0 --group=root:0 --mtime=@0 --file "$out/$name.tar" "$name"
  echo "$out/$name.tar"
}

default_version() {
  local commit; commit=$(git rev-parse --short HEAD 2> /dev/null || echo unknown)
  "$python" -c 'from importlib.metadata import version; print(version("comfymesh-node-agent"), end="")'
  echo "+$commit$(git diff --quiet HEAD 2> /dev/null || echo .changed)"
}

# Third-party wheels, checked by hash. Fetched anew only when a pin changes.
ensure_wheels() {
  mkdir -p "$cache"
  "$python" deploy/images/requirements.py --python "$python_version" constraints.txt comfymesh-node-agent > "$cache/wanted.txt"
  if [[ -d $cache/wheels ]] && cmp --silent "$cache/wanted.txt" "$cache/have.txt"; then return; fi
  rm -rf "$cache/wheels" "$cache/have.txt"
  "$python" -m pip download --quiet --quiet --disable-pip-version-check --require-hashes --no-deps --dest "$cache/wheels" \
    --python-version "$python_version" --implementation cp --only-binary :all: $(platforms) --requirement "$cache/wanted.txt"
  cp "$cache/wanted.txt" "$cache/have.txt"
}

fill() {
  mkdir -p "$1/wheels"
  cp "$cache"/wheels/*.whl "$1/wheels"
  local own=$bundle/own wheel
  "$python" -m pip wheel --quiet --quiet --no-deps --no-build-isolation --wheel-dir "$own" "${OWN[@]/#/./}"
  cp "$cache/wanted.txt" "$1/requirements.txt"
  for wheel in "$own"/*.whl; do requirement "$wheel"; done >> "$1/requirements.txt"
  cp "$own"/*.whl "$1/wheels"
  echo "$version" > "$1/VERSION"
  echo "$python_version" > "$1/PYTHON"
  install --mode=0644 deploy/host/comfymesh-agent.service deploy/host/agent.env "$1"
  install --mode=0755 deploy/host/install.sh "$1"
}

# The line that pins one of our own wheels, such as comfymesh_protos-0.1.0-py3-none-any.whl.
requirement() {
  local name version sum
  IFS=- read -r name version _ <<< "$(basename "$1")"
  sum=$(sha256sum "$1" | cut -d' ' -f1)
  echo "${name//_/-}==$version --hash=sha256:$sum"
}

main "$@"
