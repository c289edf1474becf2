"""The gRPC front of the mesh."""

from comfymesh.runtime import grpc_engine

grpc_engine.choose()
