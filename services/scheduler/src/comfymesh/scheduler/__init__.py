"""Allocates tasks to instances: a pure core, and the loop that feeds it."""
