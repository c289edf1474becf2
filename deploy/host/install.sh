#!/usr/bin/env bash
# Installs the ComfyMesh node agent on this host, from the bundle that this script is in. Needs root, systemd and
# Python with venv (Debian: python3-venv), and no network. Running it again changes nothing, or repairs.
#
#   install.sh [install] [--settings FILE]   installs this bundle's version, or upgrades to it
#   install.sh rollback                      goes back to the version before
#   install.sh uninstall [--keep-state]      removes everything; with --keep-state not /etc/comfymesh and the state
#
# --settings FILE   becomes /etc/comfymesh/agent.env where there is none yet (NAME=VALUE lines, see docs/configuration.md)
#
# What it makes: /opt/comfymesh/agent (versions/, current, previous), /etc/comfymesh/agent.env, the unit
# comfymesh-agent.service, /usr/local/bin/comfymesh-agent, the user comfymesh, /var/lib/comfymesh-agent.
set -euo pipefail
shopt -s inherit_errexit

main() {
  ROOT=/opt/comfymesh/agent
  SETTINGS=/etc/comfymesh/agent.env
  STATE=/var/lib/comfymesh-agent
  UNIT=/etc/systemd/system/comfymesh-agent.service
  PROGRAM=/usr/local/bin/comfymesh-agent
  ACCOUNT=comfymesh
  SECONDS_TO_START=60
  here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
  settings='' keep_state=false changed=false
  local command=install
  if (($#)) && [[ $1 != --* ]]; then command=$1; shift; fi
  read_options "$@"
  ensure_host
  case $command in
    install) install_version ;;
    rollback) roll_back ;;
    uninstall) uninstall ;;
    *) fail "there is no command $command" "use install, rollback or uninstall" ;;
  esac
}

read_options() {
  while (($#)); do
    case $1 in
      --settings) settings=${2:?"--settings needs a file"}; shift 2 ;;
      --keep-state) keep_state=true; shift ;;
      *) fail "there is no option $1" "see the head of $0" ;;
    esac
  done
}

install_version() {
  [[ -d $here/wheels ]] || fail "$here is no bundle: it has no wheels" "unpack the bundle and run its install.sh"
  [[ -z $settings || -f $settings ]] || fail "there is no file $settings" "give --settings a file of NAME=VALUE lines"
  version=$(< "$here/VERSION")
  ensure_python
  ensure_account
  ensure_settings
  ensure_version
  ensure_fit
  switch_to "$version"
  remove_old_versions
  start
}

roll_back() {
  [[ -L $ROOT/previous ]] || fail "there is no version to go back to" "install the one you want from its bundle"
  say "going back from $(version_of current) to $(version_of previous)"
  switch_to "$(version_of previous)"
  start
}

uninstall() {
  if [[ -f $UNIT ]]; then
    say "stopping the agent"
    systemctl disable --quiet --now comfymesh-agent || true
  fi
  remove_instances
  # What could not be removed would run on as a user that there is not.
  systemctl kill --kill-whom=all --signal=KILL comfymesh-agent 2> /dev/null || true
  say "removing the agent"
  rm -rf "$UNIT" "$UNIT.d" "$PROGRAM" "$ROOT"
  rmdir --ignore-fail-on-non-empty /opt/comfymesh 2> /dev/null || true
  systemctl daemon-reload
  systemctl reset-failed comfymesh-agent 2> /dev/null || true
  if $keep_state; then
    say "kept: ${SETTINGS%/*}, $STATE and the user $ACCOUNT, which owns them"
    return
  fi
  rm -rf "${SETTINGS%/*}" "$STATE"
  if id "$ACCOUNT" > /dev/null 2>&1; then userdel "$ACCOUNT"; fi
  say "nothing is left"
}

# The steps. Each makes sure of one thing, whatever an earlier run has left behind.

ensure_host() {
  ((EUID == 0)) || fail "this needs root" "run it with sudo"
  [[ -d /run/systemd/system ]] || fail "systemd does not run here" "install on a host that was booted with systemd"
}

ensure_python() {
  local wanted; wanted=$(< "$here/PYTHON")
  python=$(command -v "python$wanted" || command -v python3 || true)
  [[ -n $python ]] || fail "there is no Python" "install python$wanted with venv (Debian: apt install python3-venv)"
  local found; found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [[ $found == "$wanted" ]] || fail "this bundle is for Python $wanted, and this host has $found" "make one with: make release PYTHON_VERSION=$found"
  "$python" -c 'import ensurepip, venv' 2> /dev/null || fail "Python lacks venv" "apt install python3-venv"
}

ensure_account() {
  if ! id "$ACCOUNT" > /dev/null 2>&1; then
    say "making the user $ACCOUNT"
    useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$ACCOUNT"
  fi
  install --directory --mode=0750 --owner="$ACCOUNT" --group="$ACCOUNT" "$STATE"
  local group
  for group in docker video render; do  # the Docker Engine, and GPUs that need no container
    if getent group "$group" > /dev/null; then usermod --append --groups "$group" "$ACCOUNT"; fi
  done
}

ensure_settings() {
  install --directory --mode=0755 "${SETTINGS%/*}"
  if [[ ! -f $SETTINGS ]]; then
    say "writing $SETTINGS"
    install --mode=0600 "${settings:-$here/agent.env}" "$SETTINGS"
  elif [[ -n $settings ]] && ! cmp --silent "$settings" "$SETTINGS"; then
    say "$SETTINGS is there already and stays as it is"
  fi
  chown root:root "$SETTINGS"
  chmod 0600 "$SETTINGS"
}

# A version is complete once it has its mark; what a broken run has left is made anew.
ensure_version() {
  local folder=$ROOT/versions/$version
  if [[ -f $folder/complete ]] && cmp --silent "$here/requirements.txt" "$folder/requirements.txt"; then
    say "version $version is installed already"
    return
  fi
  [[ $(version_of current) != "$version" || ! -f $folder/complete ]] || fail "another bundle of version $version runs here" "give the new one another version"
  say "installing version $version to $folder"
  rm -rf "$folder"
  install --directory --mode=0755 "$ROOT" "$ROOT/versions"
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps \
    --find-links "$here/wheels" --require-hashes --requirement "$here/requirements.txt"
  install --mode=0644 "$here/comfymesh-agent.service" "$here/requirements.txt" "$folder"
  install --mode=0755 "$here/install.sh" "$folder"
  touch "$folder/complete"
}

# Settings that the new version can't read must not take down the one that runs.
ensure_fit() {
  has_instances || return 0
  local code=0
  "$ROOT/versions/$version/bin/comfymesh-agent" check || code=$?
  ((code != 78)) || fail "version $version can't work with $SETTINGS, see above" "correct it and run this again; nothing was changed"
}

switch_to() {
  local old; old=$(version_of current)
  if [[ $old == "$1" ]] && cmp --silent "$ROOT/current/comfymesh-agent.service" "$UNIT"; then return; fi
  changed=true
  if [[ $old != "$1" ]]; then
    if [[ -n $old ]]; then link "versions/$old" previous; fi
    link "versions/$1" current
  fi
  install --mode=0644 "$ROOT/current/comfymesh-agent.service" "$UNIT"
  ln --symbolic --force --no-target-directory "$ROOT/current/bin/comfymesh-agent" "$PROGRAM"
  systemctl daemon-reload
  systemctl enable --quiet comfymesh-agent
}

# In one step: there is no moment without a version.
link() {
  ln --symbolic --force --no-dereference "$1" "$ROOT/.$2"
  mv --no-target-directory "$ROOT/.$2" "$ROOT/$2"
}

# The version that `current` or `previous` names; nothing where there is none.
version_of() {
  local target; target=$(readlink "$ROOT/$1" || true)
  echo "${target##*/}"
}

remove_old_versions() {
  local folder
  for folder in "$ROOT"/versions/*; do
    case ${folder##*/} in
      "$(version_of current)" | "$(version_of previous)") ;;
      *) say "removing version ${folder##*/}"; rm -rf "$folder" ;;
    esac
  done
}

start() {
  if ! has_instances; then
    say "installed. Now set COMFYMESH_AGENT_INSTANCES in $SETTINGS, see what is missing with"
    say "  comfymesh-agent check"
    say "and begin with"
    say "  systemctl start comfymesh-agent"
    return
  fi
  if ! $changed && systemctl is-active --quiet comfymesh-agent; then
    say "the agent runs ($(version_of current))"
    return
  fi
  say "starting version $(version_of current)"
  systemctl restart --no-block comfymesh-agent
  local deadline=$((SECONDS + SECONDS_TO_START))
  while true; do
    case $(systemctl is-active comfymesh-agent || true) in
      active) say "the agent is ready ($(version_of current))"; return ;;
      failed) fail "the agent does not start" "see \`journalctl -u comfymesh-agent -n 20\` and \`comfymesh-agent check\`; \`$ROOT/current/install.sh rollback\` goes back" ;;
    esac
    if ((SECONDS >= deadline)); then
      say "the agent is not ready yet: \`systemctl status comfymesh-agent\` says what it waits for"
      return
    fi
    sleep 0.2
  done
}

has_instances() {
  grep --quiet '^[[:space:]]*COMFYMESH_AGENT_INSTANCES=' "$SETTINGS"
}

# Containers and processes that the agent has left running, with what belongs to them.
remove_instances() {
  if [[ -x $ROOT/current/bin/comfymesh-agent && -f $SETTINGS ]]; then
    "$ROOT/current/bin/comfymesh-agent" remove-instances ||
      say "not every instance could be removed, see above; \`docker ps --all --filter label=comfymesh.node\` lists containers"
  fi
}

say() {
  echo "comfymesh-agent: $*"
}

fail() {
  echo "comfymesh-agent: $1: $2" >&2
  exit 1
}

main "$@"
