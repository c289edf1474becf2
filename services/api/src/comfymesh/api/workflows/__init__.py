"""Stored workflows: where they are kept, what changes make of them, and the tasks that are made of them."""
