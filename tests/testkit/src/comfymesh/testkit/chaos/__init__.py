"""The mesh as real processes, under load, while everything in it is killed, frozen and cut off: seeded, and checked."""
