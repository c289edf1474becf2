#!/usr/bin/env bash
# Makes comfymesh-prometheus:dev out of this machine's Prometheus (Debian's package), for where no registry is reached.
#
#   deploy/images/prometheus.sh
#
# IMAGE       name of the result (default comfymesh-prometheus:dev)
# BASE_IMAGE  a Debian no older than this machine's (default comfymesh-base:bookworm, which build.sh makes)
set -euo pipefail

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local image=${IMAGE:-comfymesh-prometheus:dev} base=${BASE_IMAGE:-comfymesh-base:bookworm}
  context=$(mktemp --directory)
  trap 'rm -rf "$context"' EXIT
  cp "$(command -v prometheus)" "$(command -v promtool)" "$context"
  cp deploy/images/prometheus.Dockerfile "$context/Dockerfile"
  docker build --quiet --network none --build-arg BASE="$base" --tag "$image" "$context" > /dev/null
  echo "image: $image is $(docker run --rm --network none "$image" --version 2>&1 | head -n 1)"
}

main "$@"
