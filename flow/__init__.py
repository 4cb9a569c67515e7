"""RTL to silicon: rules, tools, people."""

__version__ = "0.1.0"
