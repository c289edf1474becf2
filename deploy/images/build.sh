#!/usr/bin/env bash
# Builds the image of the mesh: every service, the CLI, the emulator and nats-server.
#
#   deploy/images/build.sh
#
# IMAGE             name of the result (default comfymesh:dev)
# BASE_IMAGE        image with Python >= 3.11 to build on, for instance python:3.11-slim; by default one is made from
#                   Debian's packages, which needs root but no registry
# WORKSPACE_PYTHON  interpreter of an environment in which the workspace is installed (default .venv/bin/python)
set -euo pipefail
shopt -s inherit_errexit
source "$(dirname "${BASH_SOURCE[0]}")/../platforms.sh"

OWN=(protos services/common services/api services/scheduler services/notifier services/node-agent services/gateway clients/python
     devtools/emulator devtools/stack)

# That every program of ours finds what it imports.
TRY_PROGRAMS='
from importlib.metadata import entry_points
programs = [p for p in entry_points(group="console_scripts") if p.dist.name.startswith("comfymesh")]
for program in programs:
    program.load()
print("image: holds", *sorted(program.name for program in programs))
'

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local image=${IMAGE:-comfymesh:dev} python=${WORKSPACE_PYTHON:-.venv/bin/python} base
  context=.cache/images/context
  mkdir -p "$context"
  base=$(ensure_base)
  version=$(python_of "$base")
  echo "image: packages for Python $version"
  ensure_packages "$python"
  install_own "$python"
  echo "image: building $image on $base"
  cp deploy/images/Dockerfile "$context/Dockerfile"
  docker build --quiet --network none --build-arg BASE="$base" --tag "$image" "$context" > /dev/null
  docker image prune --force --filter label=org.opencontainers.image.title=comfymesh > /dev/null  # what this replaced
  docker run --rm --init --network none "$image" python -c "$TRY_PROGRAMS"
}

# The name of the base image, which is made or fetched where it is missing.
ensure_base() {
  if [[ -n ${BASE_IMAGE:-} ]]; then
    docker image inspect "$BASE_IMAGE" > /dev/null 2>&1 || docker pull --quiet "$BASE_IMAGE" >&2
    echo "$BASE_IMAGE"
  else
    deploy/images/base.sh comfymesh-base:bookworm >&2
    echo comfymesh-base:bookworm
  fi
}

python_of() {
  docker run --rm --network none "$1" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# Third-party packages, every one pinned and checked by hash. Made anew only when a pin or the Python version changes.
ensure_packages() {
  local python=$1 wanted=$context/../requirements.txt have=$context/../requirements.installed
  { echo "# Python $version"
    "$python" deploy/images/requirements.py --python "$version" constraints.txt comfymesh-stack
  } > "$wanted"
  if [[ -d $context/packages ]] && cmp --silent "$wanted" "$have"; then return; fi
  rm -rf "$have" "$context/packages"
  "$python" -m pip install -qq --require-hashes --no-deps --no-compile --target "$context/packages" \
    --python-version "$version" --implementation cp --only-binary :all: $(platforms) --requirement "$wanted"
  cp "$wanted" "$have"
}

# Our own distributions, and a program for each of their console scripts.
install_own() {
  local python=$1
  rm -rf "$context"/{own,programs,wheels}
  mkdir -p "$context/programs"
  "$python" -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir "$context/../wheels" "${OWN[@]/#/./}"
  "$python" -m pip install -qq --no-deps --no-compile --no-index --target "$context/own" "$context"/../wheels/*.whl
  rm -rf "$context/../wheels" "$context/own/bin"
  rm -rf "$context/comfyui-nodes"
  install -D --mode=644 --target-directory "$context/comfyui-nodes/comfymesh_nodes" clients/comfyui-nodes/comfymesh_nodes/*.py
  "$python" deploy/images/programs.py "$context/own" "$context/programs" /opt/comfymesh/bin/python
}

main "$@"
