"""Speaks ComfyUI's HTTP and WebSocket API, and has the mesh do the work. A client of the API, with no authority."""

from comfymesh.runtime import grpc_engine

grpc_engine.choose()
