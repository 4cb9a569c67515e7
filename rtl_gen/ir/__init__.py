"""Intermediate representations: the real-valued ModelGraph and the exact IntegerGraph."""
