"""From a chip's Verilog to a layout that is checked: the stages of an asic target."""
