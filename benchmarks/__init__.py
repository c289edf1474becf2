"""What the mesh costs, measured in front of a ComfyUI. See README.md."""

from comfymesh.runtime import grpc_engine

# The clients that are measured do what docs recommend to clients, and the bare servers what ours do.
grpc_engine.choose()
