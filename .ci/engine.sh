#!/usr/bin/env bash
# Makes sure that a Docker Engine answers, with what the images are made of: run it, or source it and call ensure_engine.
#
# For a machine without an init system, as root. What is there already is left as it is. Prints one line per step.

ENGINE_LOG=/var/log/dockerd.log
ENGINE_SECONDS=60

ensure_engine() {
  ensure_programs || return
  if docker info > /dev/null 2>&1; then
    say "an engine answers already ($(engine_version))"
    return
  fi
  ensure_cgroups || return
  start_engine
}

# Debian's packages, by the program that each of them is wanted for.
ensure_programs() {
  local -A packages=([dockerd]=docker.io [debootstrap]=debootstrap [docker-compose]=docker-compose [cgroupfs-mount]=cgroupfs-mount)
  local program missing=()
  for program in "${!packages[@]}"; do
    command -v "$program" > /dev/null || missing+=("${packages[$program]}")
  done
  if ((${#missing[@]} == 0)); then
    say "the programs are installed"
    return
  fi
  say "installing ${missing[*]}"
  apt-get update -qq > /dev/null &&
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" > /dev/null
}

# Container-like machines may come without them; the engine does not start then.
ensure_cgroups() {
  if grep -q '^cgroup' /proc/mounts; then return; fi
  say "mounting control groups"
  cgroupfs-mount
}

# Starts the engine in a session of its own, so that it outlives this shell, and waits until it answers.
start_engine() {
  say "starting dockerd, log in $ENGINE_LOG"
  setsid dockerd > "$ENGINE_LOG" 2>&1 < /dev/null &
  local engine=$! deadline=$((SECONDS + ENGINE_SECONDS))
  until docker info > /dev/null 2>&1; do
    if ! kill -0 "$engine" 2> /dev/null; then
      say "dockerd ended:" >&2
      tail -n 20 "$ENGINE_LOG" >&2
      return 1
    fi
    if ((SECONDS >= deadline)); then
      say "dockerd does not answer after $ENGINE_SECONDS s:" >&2
      tail -n 20 "$ENGINE_LOG" >&2
      return 1
    fi
    sleep 0.2
  done
  say "an engine answers ($(engine_version))"
}

engine_version() {
  docker version --format '{{ .Server.Version }}'
}

say() {
  echo "engine: $*"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -euo pipefail
  ensure_engine
fi
