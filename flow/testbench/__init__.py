"""What drives a simulated design: cocotb stream agents, the C++ chip driver, ECP5 cell models."""
