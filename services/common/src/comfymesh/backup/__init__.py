"""Everything that the mesh keeps on NATS as one file, and back (docs/operations.md, docs/adr/0046)."""
