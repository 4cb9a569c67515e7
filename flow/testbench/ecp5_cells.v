// Simulation models of the ECP5 cells that Yosys' synth_ecp5 emits, for Verilator and Icarus.
//
// Each is proved against RTL by tests/testbench/test_ecp5_cells.py. A configuration that a model
// does not cover ends the simulation: it never differs silently.

module LUT4 (input A, B, C, D, output Z);
  parameter [15:0] INIT = 16'h0000;
  assign Z = INIT[{D, C, B, A}];
endmodule

module PFUMX (input ALUT, BLUT, C0, output Z);
  assign Z = C0 ? ALUT : BLUT;
endmodule

module L6MUX21 (input D0, D1, SD, output Z);
  assign Z = SD ? D1 : D0;
endmodule

module INV (input A, output Z);
  assign Z = ~A;
endmodule

module VLO (output Z);
  assign Z = 1'b0;
endmodule

module VHI (output Z);
  assign Z = 1'b1;
endmodule

// Two positions of a carry chain. Each LUT4 gives propagate; its lower half, read as a LUT2 of A
// and B, gives generate.
module CCU2C (
    input CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output S0, S1, COUT
);
  parameter [15:0] INIT0 = 16'h0000;
  parameter [15:0] INIT1 = 16'h0000;
  parameter INJECT1_0 = "YES";
  parameter INJECT1_1 = "YES";
  localparam CARRY0 = INJECT1_0 == "NO";
  localparam CARRY1 = INJECT1_1 == "NO";

  wire propagate0 = INIT0[{D0, C0, B0, A0}];
  wire propagate1 = INIT1[{D1, C1, B1, A1}];
  wire generate0 = CARRY0 & INIT0[{2'b00, B0, A0}];
  wire generate1 = CARRY1 & INIT1[{2'b00, B1, A1}];
  wire carry = propagate0 ? CIN : generate0;
  assign S0 = propagate0 ^ (CARRY0 & CIN);
  assign S1 = propagate1 ^ (CARRY1 & carry);
  assign COUT = propagate1 ? carry : generate1;
endmodule

module TRELLIS_FF (input CLK, LSR, CE, DI, M, output reg Q);
  parameter GSR = "ENABLED";
  parameter CEMUX = "1";
  parameter CLKMUX = "CLK";
  parameter LSRMUX = "LSR";
  parameter SRMODE = "LSR_OVER_CE";
  parameter REGSET = "RESET";
  parameter LSRMODE = "LSR";
  localparam VALUE = REGSET == "SET";

  wire enable = CEMUX == "1" ? 1'b1 : CEMUX == "0" ? 1'b0 : CEMUX == "INV" ? ~CE : CE;
  wire set = LSRMUX == "INV" ? ~LSR : LSR;
  initial begin
    Q = VALUE;  // power-up: the global set/reset applies REGSET
    if (LSRMODE != "LSR") begin
      $display("%%Error: TRELLIS_FF: LSRMODE %s has no simulation model", LSRMODE);
      $fatal(1);
    end
  end
  generate
    if (SRMODE == "ASYNC" && CLKMUX == "INV") begin : async_falling
      always @(negedge CLK or posedge set) if (set) Q <= VALUE; else if (enable) Q <= DI;
    end else if (SRMODE == "ASYNC") begin : async_rising
      always @(posedge CLK or posedge set) if (set) Q <= VALUE; else if (enable) Q <= DI;
    end else if (CLKMUX == "INV") begin : falling
      always @(negedge CLK) if (set && (SRMODE == "LSR_OVER_CE" || enable)) Q <= VALUE;
        else if (enable) Q <= DI;
    end else begin : rising
      always @(posedge CLK) if (set && (SRMODE == "LSR_OVER_CE" || enable)) Q <= VALUE;
        else if (enable) Q <= DI;
    end
  endgenerate
endmodule

// 16 x 4 distributed memory: synchronous write, asynchronous read.
module TRELLIS_DPR16X4 (
    input [3:0] DI, input [3:0] WAD, input WRE, input WCK, input [3:0] RAD, output [3:0] DO
);
  parameter WCKMUX = "WCK";
  parameter WREMUX = "WRE";
  parameter [63:0] INITVAL = 64'h0;

  reg [3:0] mem [0:15];
  integer i;
  initial for (i = 0; i < 16; i = i + 1) mem[i] = INITVAL[4*i +: 4];
  wire write = WREMUX == "1" ? 1'b1 : WREMUX == "0" ? 1'b0 : WREMUX == "INV" ? ~WRE : WRE;
  generate
    if (WCKMUX == "INV") begin : falling
      always @(negedge WCK) if (write) mem[WAD] <= DI;
    end else begin : rising
      always @(posedge WCK) if (write) mem[WAD] <= DI;
    end
  endgenerate
  assign DO = mem[RAD];
endmodule

// 18 x 18 multiplier, used without its registers.
module MULT18X18D (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3,
    RST2, RST1, RST0,
    input SRIA17, SRIA16, SRIA15, SRIA14, SRIA13, SRIA12, SRIA11, SRIA10, SRIA9, SRIA8, SRIA7,
    SRIA6, SRIA5, SRIA4, SRIA3, SRIA2, SRIA1, SRIA0,
    input SRIB17, SRIB16, SRIB15, SRIB14, SRIB13, SRIB12, SRIB11, SRIB10, SRIB9, SRIB8, SRIB7,
    SRIB6, SRIB5, SRIB4, SRIB3, SRIB2, SRIB1, SRIB0,
    output SROA17, SROA16, SROA15, SROA14, SROA13, SROA12, SROA11, SROA10, SROA9, SROA8, SROA7,
    SROA6, SROA5, SROA4, SROA3, SROA2, SROA1, SROA0,
    output SROB17, SROB16, SROB15, SROB14, SROB13, SROB12, SROB11, SROB10, SROB9, SROB8, SROB7,
    SROB6, SROB5, SROB4, SROB3, SROB2, SROB1, SROB0,
    output ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6, ROA5,
    ROA4, ROA3, ROA2, ROA1, ROA0,
    output ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6, ROB5,
    ROB4, ROB3, ROB2, ROB1, ROB0,
    output ROC17, ROC16, ROC15, ROC14, ROC13, ROC12, ROC11, ROC10, ROC9, ROC8, ROC7, ROC6, ROC5,
    ROC4, ROC3, ROC2, ROC1, ROC0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0,
    output SIGNEDP
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTA_CE = "CE0";
  parameter REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTB_CE = "CE0";
  parameter REG_INPUTB_RST = "RST0";
  parameter REG_INPUTC_CLK = "NONE";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_PIPELINE_CE = "CE0";
  parameter REG_PIPELINE_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter REG_OUTPUT_CE = "CE0";
  parameter REG_OUTPUT_RST = "RST0";
  parameter CLK0_DIV = "ENABLED";
  parameter CLK1_DIV = "ENABLED";
  parameter CLK2_DIV = "ENABLED";
  parameter CLK3_DIV = "ENABLED";
  parameter GSR = "ENABLED";
  parameter SOURCEB_MODE = "B_SHIFT";
  parameter MULT_BYPASS = "DISABLED";
  parameter RESETMODE = "SYNC";

  initial if (REG_INPUTA_CLK != "NONE" || REG_INPUTB_CLK != "NONE" || REG_PIPELINE_CLK != "NONE"
      || REG_OUTPUT_CLK != "NONE" || MULT_BYPASS != "DISABLED") begin
    $display("%%Error: MULT18X18D: a registered or bypassed multiplier has no simulation model");
    $fatal(1);
  end
  wire [17:0] a =
    {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b =
    {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire signed [18:0] x = {SIGNEDA & a[17], a};
  wire signed [18:0] y = {SIGNEDB & b[17], b};
  wire signed [37:0] product = x * y;
  assign
    {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17,
    P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0}
    = product[35:0];
  assign SIGNEDP = SIGNEDA | SIGNEDB;
endmodule

// 18 kbit block RAM: 1024 words of two 9-bit bytes, seen by each port at its own width (1, 2 and 4
// bits skip every ninth bit). Width 36 joins two words: written through port A as {DIB, DIA}, read
// through port B as {DOB, DOA}. At widths 18 and 36 the low address bits are byte enables.
module DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
    DIA4, DIA3, DIA2, DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
    DIB4, DIB3, DIB2, DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
  parameter WID = 0;
  parameter INIT_DATA = "STATIC";
  parameter [319:0] INITVAL_00 = 320'h0;
  parameter [319:0] INITVAL_01 = 320'h0;
  parameter [319:0] INITVAL_02 = 320'h0;
  parameter [319:0] INITVAL_03 = 320'h0;
  parameter [319:0] INITVAL_04 = 320'h0;
  parameter [319:0] INITVAL_05 = 320'h0;
  parameter [319:0] INITVAL_06 = 320'h0;
  parameter [319:0] INITVAL_07 = 320'h0;
  parameter [319:0] INITVAL_08 = 320'h0;
  parameter [319:0] INITVAL_09 = 320'h0;
  parameter [319:0] INITVAL_0A = 320'h0;
  parameter [319:0] INITVAL_0B = 320'h0;
  parameter [319:0] INITVAL_0C = 320'h0;
  parameter [319:0] INITVAL_0D = 320'h0;
  parameter [319:0] INITVAL_0E = 320'h0;
  parameter [319:0] INITVAL_0F = 320'h0;
  parameter [319:0] INITVAL_10 = 320'h0;
  parameter [319:0] INITVAL_11 = 320'h0;
  parameter [319:0] INITVAL_12 = 320'h0;
  parameter [319:0] INITVAL_13 = 320'h0;
  parameter [319:0] INITVAL_14 = 320'h0;
  parameter [319:0] INITVAL_15 = 320'h0;
  parameter [319:0] INITVAL_16 = 320'h0;
  parameter [319:0] INITVAL_17 = 320'h0;
  parameter [319:0] INITVAL_18 = 320'h0;
  parameter [319:0] INITVAL_19 = 320'h0;
  parameter [319:0] INITVAL_1A = 320'h0;
  parameter [319:0] INITVAL_1B = 320'h0;
  parameter [319:0] INITVAL_1C = 320'h0;
  parameter [319:0] INITVAL_1D = 320'h0;
  parameter [319:0] INITVAL_1E = 320'h0;
  parameter [319:0] INITVAL_1F = 320'h0;
  parameter [319:0] INITVAL_20 = 320'h0;
  parameter [319:0] INITVAL_21 = 320'h0;
  parameter [319:0] INITVAL_22 = 320'h0;
  parameter [319:0] INITVAL_23 = 320'h0;
  parameter [319:0] INITVAL_24 = 320'h0;
  parameter [319:0] INITVAL_25 = 320'h0;
  parameter [319:0] INITVAL_26 = 320'h0;
  parameter [319:0] INITVAL_27 = 320'h0;
  parameter [319:0] INITVAL_28 = 320'h0;
  parameter [319:0] INITVAL_29 = 320'h0;
  parameter [319:0] INITVAL_2A = 320'h0;
  parameter [319:0] INITVAL_2B = 320'h0;
  parameter [319:0] INITVAL_2C = 320'h0;
  parameter [319:0] INITVAL_2D = 320'h0;
  parameter [319:0] INITVAL_2E = 320'h0;
  parameter [319:0] INITVAL_2F = 320'h0;
  parameter [319:0] INITVAL_30 = 320'h0;
  parameter [319:0] INITVAL_31 = 320'h0;
  parameter [319:0] INITVAL_32 = 320'h0;
  parameter [319:0] INITVAL_33 = 320'h0;
  parameter [319:0] INITVAL_34 = 320'h0;
  parameter [319:0] INITVAL_35 = 320'h0;
  parameter [319:0] INITVAL_36 = 320'h0;
  parameter [319:0] INITVAL_37 = 320'h0;
  parameter [319:0] INITVAL_38 = 320'h0;
  parameter [319:0] INITVAL_39 = 320'h0;
  parameter [319:0] INITVAL_3A = 320'h0;
  parameter [319:0] INITVAL_3B = 320'h0;
  parameter [319:0] INITVAL_3C = 320'h0;
  parameter [319:0] INITVAL_3D = 320'h0;
  parameter [319:0] INITVAL_3E = 320'h0;
  parameter [319:0] INITVAL_3F = 320'h0;

  initial if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG"
      || CSDECODE_A != "0b000" || CSDECODE_B != "0b000" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB"
      || INIT_DATA != "STATIC" || DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36) begin
    $display("%%Error: DP16KD: this configuration has no simulation model");
    $fatal(1);
  end

  // Yosys writes ASYNC where no reset is used at all.
  wire async_reset = RESETMODE != "SYNC" && (RSTA || RSTB);
  always @(async_reset) if (async_reset) begin
    $display("%%Error: DP16KD: asynchronous reset has no simulation model");
    $fatal(1);
  end

  // A line of 320 bits holds 16 words, each in 20 bits.
  localparam [64*320-1:0] INIT = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00};
  reg [17:0] mem [0:1023];
  integer i;
  initial for (i = 0; i < 1024; i = i + 1) mem[i] = INIT[(i / 16) * 320 + (i % 16) * 20 +: 18];

  wire [17:0] dia =
    {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0};
  wire [13:0] ada =
    {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [17:0] dib =
    {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0};
  wire [13:0] adb =
    {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  reg [17:0] low_a = 0, high_a = 0;
  reg [17:0] low_b = 0, high_b = 0;

  // The bits of a word that a port of this width reaches at this address.
  function [17:0] mask(input integer width, input [13:0] address);
    case (width)
      1: mask = 18'h1 << (address[3] * 9 + address[2:0]);
      2: mask = 18'h3 << (address[3] * 9 + address[2:1] * 2);
      4: mask = 18'hf << (address[3] * 9 + address[2] * 4);
      9: mask = 18'h1ff << (address[3] * 9);
      default: mask = {{9{address[1]}}, {9{address[0]}}};
    endcase
  endfunction

  // Data at the low end of a port moved to the bits that `mask` selects.
  function [17:0] place(input integer width, input [13:0] address, input [17:0] data);
    case (width)
      1: place = {17'h0, data[0]} << (address[3] * 9 + address[2:0]);
      2: place = {16'h0, data[1:0]} << (address[3] * 9 + address[2:1] * 2);
      4: place = {14'h0, data[3:0]} << (address[3] * 9 + address[2] * 4);
      9: place = {9'h0, data[8:0]} << (address[3] * 9);
      default: place = data;
    endcase
  endfunction

  function [17:0] pick(input integer width, input [13:0] address, input [17:0] word);
    case (width)
      1: pick = word >> (address[3] * 9 + address[2:0]) & 18'h1;
      2: pick = word >> (address[3] * 9 + address[2:1] * 2) & 18'h3;
      4: pick = word >> (address[3] * 9 + address[2] * 4) & 18'hf;
      9: pick = word >> (address[3] * 9) & 18'h1ff;
      default: pick = word;
    endcase
  endfunction


  wire [9:0] word_a = ada[13:4];
  wire [9:0] word_b = adb[13:4];
  wire on_a = CEA & ~CSA2 & ~CSA1 & ~CSA0;
  wire on_b = CEB & ~CSB2 & ~CSB1 & ~CSB0;
  wire write_a = on_a & WEA & ~RSTA;
  wire write_b = on_b & WEB & ~RSTB;
  wire [17:0] mask_a = mask(DATA_WIDTH_A, ada);
  wire [17:0] mask_b = mask(DATA_WIDTH_B, adb);
  wire [17:0] data_a = place(DATA_WIDTH_A, ada, dia);
  wire [17:0] data_b = place(DATA_WIDTH_B, adb, dib);

  // What the data sheet leaves open, a read of a word that the other port writes in that cycle,
  // gives the complement of the stored bits, so that a netlist that relies on it is found out.
  wire [17:0] clash_a = write_b && word_a == word_b ? mask_b : 18'h0;
  generate
    if (DATA_WIDTH_A == 36) begin : wide_a
      always @(posedge CLKA) if (write_a) begin
        if (ada[0]) mem[{ada[13:5], 1'b0}][8:0] <= dia[8:0];
        if (ada[1]) mem[{ada[13:5], 1'b0}][17:9] <= dia[17:9];
        if (ada[2]) mem[{ada[13:5], 1'b1}][8:0] <= dib[8:0];
        if (ada[3]) mem[{ada[13:5], 1'b1}][17:9] <= dib[17:9];
      end
    end else begin : narrow_a
      wire [17:0] old = mem[word_a];
      wire [17:0] merged = old & ~mask_a | data_a & mask_a;
      always @(posedge CLKA) begin
        if (write_a) mem[word_a] <= merged;
        if (RSTA) low_a <= 18'h0;
        else if (on_a && !(WEA && WRITEMODE_A == "NORMAL"))
          low_a <= pick(DATA_WIDTH_A, ada,
                        (WEA && WRITEMODE_A == "WRITETHROUGH" ? merged : old) ^ clash_a);
      end
    end
  endgenerate

  wire same_b = DATA_WIDTH_A == 36 ? ada[13:5] == adb[13:5] : word_a == word_b;
  wire [35:0] wide_mask_a = {{9{ada[3]}}, {9{ada[2]}}, {9{ada[1]}}, {9{ada[0]}}};
  wire [35:0] clash = !(write_a && same_b) ? 36'h0
      : DATA_WIDTH_A == 36 ? wide_mask_a : {mask_a, mask_a};
  generate
    if (DATA_WIDTH_B == 36) begin : wide_b
      always @(posedge CLKB)
        if (RSTB) {high_b, low_b} <= 36'h0;
        else if (on_b) {high_b, low_b} <= {mem[{adb[13:5], 1'b1}], mem[{adb[13:5], 1'b0}]} ^ clash;
    end else begin : narrow_b
      wire [17:0] old = mem[word_b];
      wire [17:0] merged = old & ~mask_b | data_b & mask_b;
      wire [17:0] clash_b = adb[4] ? clash[35:18] : clash[17:0];
      always @(posedge CLKB) begin
        if (write_b) mem[word_b] <= merged;
        if (RSTB) low_b <= 18'h0;
        else if (on_b && !(WEB && WRITEMODE_B == "NORMAL"))
          low_b <= pick(DATA_WIDTH_B, adb,
                        (WEB && WRITEMODE_B == "WRITETHROUGH" ? merged : old) ^ clash_b);
      end
    end
  endgenerate
  assign
    {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
    DOA3, DOA2, DOA1, DOA0}
    = DATA_WIDTH_B == 36 ? low_b : low_a;
  assign
    {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
    DOB3, DOB2, DOB1, DOB0}
    = DATA_WIDTH_B == 36 ? high_b : low_b;
endmodule
