"""Calls to the callback URLs of tasks: a durable queue, signed, tried again for hours, and shielded from each other."""
