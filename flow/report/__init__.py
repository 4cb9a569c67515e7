"""Reports: one page a chip, one table over chips."""
