"""Each hardware block against its golden twin, in a simulator."""
