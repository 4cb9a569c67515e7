"""Evidence, obligation by obligation, that a chip is its checkpoint (``docs/evidence.md``)."""
