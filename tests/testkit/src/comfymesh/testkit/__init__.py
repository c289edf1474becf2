"""Test helpers; never shipped."""
