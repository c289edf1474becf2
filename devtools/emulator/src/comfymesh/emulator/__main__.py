"""``python -m comfymesh.emulator``."""

from comfymesh.emulator.entry import main

main()
