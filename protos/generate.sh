#!/bin/sh
# Makes the stubs in src/ from the protos beside this file. Uses the grpcio-tools pinned in gen-requirements.txt, which
# is older than the runtime on purpose: generated code refuses runtimes older than its generator, and callers should not
# be forced to upgrade because we did.
set -eu
cd "$(dirname "$0")"
venv=${GEN_VENV:-../.venv-gen}
if ! cmp -s gen-requirements.txt "$venv/installed"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r gen-requirements.txt
  cp gen-requirements.txt "$venv/installed"
fi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
protoc() { "$venv/bin/python" -m grpc_tools.protoc -I . "$@"; }
protoc --python_out="$made" --pyi_out="$made" $(find comfymesh -name '*.proto' | sort)
protoc --grpc_python_out="$made" $(find comfymesh -name '*_service.proto' | sort)
for package in comfymesh/v1 comfymesh/wire comfymesh/wire/v1; do
  touch "$made/$package/__init__.py" "$made/$package/py.typed"
done
# Only what changes is touched: whoever runs or packs the stubs meanwhile finds them whole.
(cd src && find . -name '*_pb2*.py*' ! -name '*.pyc') | while read -r stub; do
  test -e "$made/$stub" || rm "src/$stub"
done
(cd "$made" && find . -type f) | while read -r stub; do
  cmp -s "$made/$stub" "src/$stub" || { mkdir -p "src/$(dirname "$stub")" && cp "$made/$stub" "src/$stub"; }
done
