"""What holds the blocks together: memories, address generators, pipelines, the sequencer."""
