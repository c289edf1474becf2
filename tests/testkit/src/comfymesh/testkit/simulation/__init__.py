"""The whole mesh in one process on a clock of its own: seeded faults, thousands of runs, and any of them again."""
