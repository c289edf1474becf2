"""An emulator of ComfyUI: real pictures without a GPU, failures on demand.

As a process: ``comfymesh-emulator --port 0 --base-directory DIR``. In a test::

    async with serving(Settings(base_directory=tmp_path)) as url: ...
"""

from comfymesh.emulator.faults import Fault
from comfymesh.emulator.server import serving
from comfymesh.emulator.settings import Settings

__all__ = ["Fault", "Settings", "serving"]
