"""Measures what the mesh costs in front of a ComfyUI. Run as `python -m benchmarks`."""
