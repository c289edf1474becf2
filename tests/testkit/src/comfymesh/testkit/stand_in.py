"""A program that lives and dies as a ComfyUI does: takes its flags, answers HTTP, ends on SIGINT, and nothing else.

Each run answers with a token of its own, so that a test can tell one run from the next. It needs nothing but Python, so
its text alone can be run in any container that has one.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = uuid.uuid4().hex


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the token."""

    def do_GET(self) -> None:
        """Send the token."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TOKEN.encode())

    def log_message(self, *_: object) -> None:
        """Keep the output to what tests look for."""


def main() -> None:
    """Serve until a signal comes."""
    flags = _parser().parse_known_args()[0]
    for name in filter(None, flags.deaf_to.split(",")):
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    _say("flags:", *sys.argv[1:])
    _say("variables:", *sorted(os.environ))
    if flags.exit_at_once is not None:
        sys.exit(flags.exit_at_once)
    server = ThreadingHTTPServer((flags.listen, flags.port), Handler)
    _say("serving")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        _say("stopped by SIGINT")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deaf-to", default="", help="signals to ignore, separated by commas")
    parser.add_argument("--exit-at-once", type=int, help="exit with this code instead of serving")
    return parser


def _say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
