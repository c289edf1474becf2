"""What all tests share: no setting of the person who runs them reaches the code under test."""

from __future__ import annotations

import os

for name in [name for name in os.environ if name.startswith("COMFYMESH_") and name != "COMFYMESH_IMAGE"]:
    del os.environ[name]
