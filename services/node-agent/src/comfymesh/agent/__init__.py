"""The daemon on a GPU host: owns its ComfyUI instances and runs attempts on them."""
