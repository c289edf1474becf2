#!/usr/bin/env bash
# Makes a base image without a registry: Debian's packages become a root file system, and that becomes an image.
#
#   base.sh IMAGE        does nothing when the image is there and was made by this very script
#
# DEBIAN_MIRROR names another mirror than debootstrap's own. Needs root, debootstrap and a Docker Engine.
set -euo pipefail

SUITE=bookworm
PACKAGES=ca-certificates,python3,python3-venv

main() {
  local image=$1 recipe
  recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
  if [[ $(made_by "$image") == "$recipe" ]]; then
    echo "base image: $image is up to date"
    return
  fi
  can_bootstrap
  echo "base image: making $image from Debian $SUITE"
  root=$(mktemp --directory)
  trap 'rm -rf "$root" "$root.log"' EXIT
  if ! debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$root.log"; then
    tail -n 20 "$root.log" >&2
    return 1
  fi
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,info,locale,man}/*
  tar --create --directory="$root" . |
    docker import --change "LABEL comfymesh.recipe=$recipe" --change 'ENV LANG=C.UTF-8' - "$image" > /dev/null
}

can_bootstrap() {
  if ((EUID != 0)) || ! command -v debootstrap > /dev/null; then
    echo "base image: cannot make $SUITE's root file system: needs root and the package debootstrap." >&2
    echo "base image: or set BASE_IMAGE to an image with Python, for instance python:3.11-slim." >&2
    return 1
  fi
}

made_by() {
  docker image inspect --format '{{ index .Config.Labels "comfymesh.recipe" }}' "$1" 2> /dev/null || true
}

main "$@"
