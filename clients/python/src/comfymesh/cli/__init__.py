"""Command line of ComfyMesh."""
