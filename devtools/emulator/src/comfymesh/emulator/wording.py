"""How answers are worded, whoever gives them."""

from __future__ import annotations

SERVER_ERROR = "500 Internal Server Error\n\nServer got itself in trouble"
JSON = "application/json"
TEXT = "text/plain"
REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}
