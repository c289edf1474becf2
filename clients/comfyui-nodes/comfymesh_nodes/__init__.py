"""ComfyMesh's custom nodes: a guard of GPU memory, a notice, a progress helper.

ComfyUI imports this folder from `custom_nodes`. It needs nothing but ComfyUI itself.
"""

from __future__ import annotations

from .guard import MemoryGuard
from .notify import Notify
from .progress import Progress, steps

NODE_CLASS_MAPPINGS: dict[str, type] = {
    "ComfyMeshMemoryGuard": MemoryGuard,
    "ComfyMeshNotify": Notify,
    "ComfyMeshProgress": Progress,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ComfyMeshMemoryGuard": "GPU memory guard",
    "ComfyMeshNotify": "Notify",
    "ComfyMeshProgress": "Progress",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "steps"]
