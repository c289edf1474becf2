"""Tells people and programs what happens in the mesh. A process of its own, so that it lives when others die."""
