"""Sub-commands of the command line, one module each or one for a family."""
