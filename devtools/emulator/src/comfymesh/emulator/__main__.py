"""``python -m comfymesh.emulator``."""

from comfymesh.emulator.main import main

main()
