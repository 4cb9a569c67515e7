"""RTL to silicon: rules, tools, people."""
