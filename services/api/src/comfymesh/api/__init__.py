"""The gRPC front of the mesh."""
