"""Each component of the fabric in a simulator."""
