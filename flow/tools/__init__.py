"""External EDA tools, one module each, behind one small protocol."""
