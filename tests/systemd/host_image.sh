#!/usr/bin/env bash
# Makes an image that is a bare Debian host: systemd as its first process, Python with venv, and nothing of ComfyMesh but
# an emulator of ComfyUI in /srv/emulator, which stands in for the ComfyUI of a GPU host.
#
#   host_image.sh IMAGE MESH_IMAGE
#
# Needs root, and the base image that MESH_IMAGE was built on (deploy/images/base.sh): its root file system is the
# beginning of this one, so Debian is fetched once for both. Does nothing when the image is there and as it should be.
set -euo pipefail

BASE=comfymesh-base:bookworm
PACKAGES=(systemd systemd-sysv dbus)

main() {
  local image=$1 mesh=$2 system=$1-system
  ensure_system "$system"
  docker build --quiet --network none --tag "$image" - > /dev/null 2>&1 <<END
FROM $system
COPY --from=$mesh /opt/comfymesh/packages /srv/emulator/packages
COPY --from=$mesh /opt/comfymesh/own /srv/emulator/own
END
}

ensure_system() {
  local image=$1 recipe
  recipe=$(docker image inspect --format '{{ .Id }}' "$BASE" | cat - "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
  if [[ $(made_by "$image") == "$recipe" ]]; then return; fi
  root=$(mktemp --directory)
  trap 'rm -rf "$root"' EXIT
  local container; container=$(docker create "$BASE" true)
  docker export "$container" | tar --extract --directory="$root"
  docker rm "$container" > /dev/null
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  chroot "$root" apt-get update -qq -o APT::Sandbox::User=root > /dev/null
  DEBIAN_FRONTEND=noninteractive chroot "$root" \
    apt-get install -qq --yes --no-install-recommends "${PACKAGES[@]}" > /dev/null 2>&1
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
  tar --create --directory="$root" . |
    docker import --change "LABEL comfymesh.recipe=$recipe" --change 'ENV container=docker LANG=C.UTF-8' - "$image" > /dev/null
}

made_by() {
  docker image inspect --format '{{ index .Config.Labels "comfymesh.recipe" }}' "$1" 2> /dev/null || true
}

main "$@"
