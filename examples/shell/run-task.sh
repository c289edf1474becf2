#!/bin/sh
# Runs a graph, prints what happens as JSON, and saves what it has made:
#
#   run-task.sh examples/text-to-image.json out
#
# Settings are those of call.sh. Needs Python for JSON and base64.
set -eu

here=$(dirname "$0")
graph=$1
out=${2:-out}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A graph is text in the request: as numbers in JSON its seeds would be rounded by some readers.
python3 -c 'import json, sys; print(json.dumps({"task": {"graph_json": sys.stdin.read()}}))' <"$graph" >"$work/request"
"$here/call.sh" TaskService/RunTask - <"$work/request" | tee "$work/events"

python3 - "$work/events" >"$work/artifacts" <<'END'
import json, sys
text, at, task = open(sys.argv[1]).read(), 0, {}
while text[at:].strip():
    event, end = json.JSONDecoder().raw_decode(text[at:].lstrip())
    at = len(text) - len(text[at:].lstrip()) + end
    task = event.get("task", task)
if not task:
    sys.exit(1)  # The call was not answered, and has said why.
if task.get("state") != "STATE_SUCCEEDED":
    sys.exit(f"the task ended as {task.get('state')}: {task.get('error', {}).get('message', '')}")
for artifact in task.get("artifacts", []):
    print(artifact["name"])
END

number=0
while read -r name; do
    number=$((number + 1))
    "$here/call.sh" AssetService/ReadArtifact "{\"name\": \"$name\"}" >"$work/pieces"
    python3 - "$work/pieces" >"$out/$number.png" <<'END'
import base64, re, sys
for piece in re.findall(r'"data":\s*"([^"]*)"', open(sys.argv[1]).read()):
    sys.stdout.buffer.write(base64.b64decode(piece))
END
    echo "saved $out/$number.png"
done <"$work/artifacts"
