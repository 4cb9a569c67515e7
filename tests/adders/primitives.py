"""Cells of the ECP5 as they behave, for simulation: Lattice FPGA-TN-02200, slice in ripple mode."""

from __future__ import annotations

# A conditional of Verilog is known where both its sides agree, which the choice of a bit by an
# index that is not known is not: the registers of an adder graph have no first value.
CCU2C = """
module LUT4 #(parameter [15:0] INIT = 0) (input A, B, C, D, output Z);
  wire [7:0] d = D ? INIT[15:8] : INIT[7:0];
  wire [3:0] c = C ? d[7:4] : d[3:0];
  wire [1:0] b = B ? c[3:2] : c[1:0];
  assign Z = A ? b[1] : b[0];
endmodule

module CCU2C #(
  parameter [15:0] INIT0 = 0, INIT1 = 0, parameter INJECT1_0 = "YES", INJECT1_1 = "YES")
  (input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
  wire full0, half0, full1, half1;
  LUT4 #(.INIT(INIT0)) f0(.A(A0), .B(B0), .C(C0), .D(D0), .Z(full0));
  LUT4 #(.INIT(INIT0)) g0(.A(A0), .B(B0), .C(1'b0), .D(1'b0), .Z(half0));
  LUT4 #(.INIT(INIT1)) f1(.A(A1), .B(B1), .C(C1), .D(D1), .Z(full1));
  LUT4 #(.INIT(INIT1)) g1(.A(A1), .B(B1), .C(1'b0), .D(1'b0), .Z(half1));
  wire in0 = INJECT1_0 == "YES" ? 1'b0 : CIN;
  wire middle = full0 ? CIN : INJECT1_0 != "YES" & half0;
  wire in1 = INJECT1_1 == "YES" ? 1'b0 : middle;
  assign S0 = full0 ^ in0;
  assign S1 = full1 ^ in1;
  assign COUT = full1 ? middle : INJECT1_1 != "YES" & half1;
endmodule
"""
"""Two positions of a carry chain."""
