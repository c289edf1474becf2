"""The node classes of the emulator."""

from __future__ import annotations

from comfymesh.emulator.nodes.audio_video import AUDIO_VIDEO_NODES
from comfymesh.emulator.nodes.compositing import COMPOSITING_NODES
from comfymesh.emulator.nodes.images import IMAGE_NODES
from comfymesh.emulator.nodes.masks import MASK_NODES
from comfymesh.emulator.nodes.probes import PROBE_NODES
from comfymesh.emulator.nodes.sampling import SAMPLING_NODES
from comfymesh.emulator.nodes.saving import SAVING_NODES
from comfymesh.emulator.nodes.upscaling import UPSCALING_NODES

NODES = {
    node.name: node
    for node in (
        *IMAGE_NODES,
        *COMPOSITING_NODES,
        *MASK_NODES,
        *SAMPLING_NODES,
        *UPSCALING_NODES,
        *SAVING_NODES,
        *AUDIO_VIDEO_NODES,
        *PROBE_NODES,
    )
}
"""Class name to node class."""
