"""What a ComfyUI answers, written as ComfyUI writes it. Pure; for those who stand in for one: emulator and gateway."""
