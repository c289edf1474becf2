"""What is translation and nothing else. Pure."""
