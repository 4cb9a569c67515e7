// Designs whose ECP5 netlists are compared with themselves: see test_ecp5_cells.py.
// Port `r` carries fresh random bits every cycle.

// One write port, one read port with enable; a reset of the read register where RESET is set.
module sdp #(parameter WIDTH = 8, ABITS = 4, RESET = 0, parameter FILE = "", STYLE = "block")
    (input clk, input [63:0] r, output [WIDTH-1:0] y);
  (* ram_style = STYLE *) reg [WIDTH-1:0] mem [0:(1 << ABITS) - 1];
  initial $readmemh(FILE, mem);
  wire [ABITS-1:0] ra = r[8 +: ABITS] & {{12{r[62]}}, 4'hf};
  wire [ABITS-1:0] wa = r[24 +: ABITS] & {{12{r[62]}}, 4'hf};
  wire [71:0] data = {2{r[35:0] ^ r[63:28]}};
  reg [WIDTH-1:0] q = 0;
  always @(posedge clk) begin
    if (r[0]) mem[wa] <= data[WIDTH-1:0];
    if (RESET && r[1:0] == 0) q <= 0;
    else if (r[2]) q <= mem[ra];
  end
  assign y = q;
endmodule

// Two ports that both read and write. MODE 0 reads nothing while writing, 1 the new word, 2 the
// old. The ports keep to different halves in cycles in which both could meet.
module tdp #(parameter WIDTH = 18, ABITS = 10, MODE = 0, parameter FILE = "")
    (input clk, input [63:0] r, output [2*WIDTH-1:0] y);
  (* ram_style = "block" *) reg [WIDTH-1:0] mem [0:(1 << ABITS) - 1];
  initial $readmemh(FILE, mem);
  wire [ABITS-1:0] a = {r[60], {ABITS-5{r[61]}}, r[11:8]};
  wire [ABITS-1:0] b = {~r[60], {ABITS-5{r[59]}}, r[27:24]};
  reg [WIDTH-1:0] p = 0, q = 0;
  always @(posedge clk) begin
    if (r[1]) mem[a] <= r[40 +: WIDTH];
    if (MODE == 2 || !r[1]) p <= mem[a];
    else if (MODE == 1) p <= r[40 +: WIDTH];
  end
  always @(posedge clk) begin
    if (r[2]) mem[b] <= r[30 +: WIDTH];
    if (MODE == 2 || !r[2]) q <= mem[b];
    else if (MODE == 1) q <= r[30 +: WIDTH];
  end
  assign y = {p, q};
endmodule

// Bytes of nine bits with a write enable each.
module bytes #(parameter COUNT = 2, ABITS = 9, parameter FILE = "")
    (input clk, input [63:0] r, output reg [9*COUNT-1:0] y);
  (* ram_style = "block" *) reg [9*COUNT-1:0] mem [0:(1 << ABITS) - 1];
  initial $readmemh(FILE, mem);
  initial y = 0;
  integer i;
  always @(posedge clk) begin
    for (i = 0; i < COUNT; i = i + 1)
      if (r[i]) mem[r[11:8]][9*i +: 9] <= r[20 + 9*i +: 9];
    if (!r[COUNT-1:0]) y <= mem[r[15:12]];
  end
endmodule

module memories(input clk, input rst, input [63:0] r, output [349:0] y);
  sdp #(36, 9, 0, "m36.hex") s36 (clk, r, y[35:0]);
  sdp #(18, 10, 1, "m18.hex") s18 (clk, r, y[53:36]);
  sdp #(9, 11, 0, "m9.hex") s9 (clk, r, y[62:54]);
  sdp #(4, 12, 1, "m4.hex") s4 (clk, r, y[66:63]);
  sdp #(2, 13, 0, "m2.hex") s2 (clk, r, y[68:67]);
  sdp #(1, 14, 0, "m1.hex") s1 (clk, r, y[69:69]);
  tdp #(18, 10, 0, "m18.hex") t0 (clk, r, y[105:70]);
  tdp #(18, 10, 1, "m18.hex") t1 (clk, r, y[141:106]);
  tdp #(18, 10, 2, "m18.hex") t2 (clk, r, y[177:142]);
  tdp #(9, 11, 0, "m9.hex") t3 (clk, r, y[195:178]);
  tdp #(4, 12, 2, "m4.hex") t4 (clk, r, y[203:196]);
  bytes #(2, 10, "m18.hex") b2 (clk, r, y[221:204]);
  bytes #(4, 9, "m36.hex") b4 (clk, r, y[257:222]);
  sdp #(36, 5, 0, "d36.hex", "distributed") d36 (clk, r, y[293:258]);
  sdp #(18, 6, 1, "d18.hex", "distributed") d18 (clk, r, y[311:294]);
  assign y[349:312] = 0;
endmodule

module product #(parameter A = 18, B = 18, SA = 0, SB = 0)
    (input [63:0] r, output [A+B-1:0] y);
  wire signed [A:0] a = {SA ? r[A-1] : 1'b0, r[A-1:0]};
  wire signed [B:0] b = {SB ? r[62] : 1'b0, r[62 -: B]};
  assign y = a * b;
endmodule

module multipliers(input clk, input rst, input [63:0] r, output [349:0] y);
  product #(18, 18, 0, 0) p0 (r, y[35:0]);
  product #(18, 18, 1, 1) p1 (r, y[71:36]);
  product #(18, 18, 1, 0) p2 (r, y[107:72]);
  product #(18, 18, 0, 1) p3 (r, y[143:108]);
  product #(8, 16, 1, 0) p4 (r, y[167:144]);
  product #(30, 16, 1, 1) p5 (r, y[213:168]);
  product #(32, 32, 1, 0) p6 (r, y[277:214]);
  product #(9, 9, 1, 1) p7 (r, y[295:278]);
  assign y[349:296] = 0;
endmodule

// Carry chains, wide muxes, flip-flops with every kind of set, reset and enable.
module logic_cells(input clk, input rst, input [63:0] r, output [349:0] y);
  reg [15:0] a = 16'h1234, b = 0, c = 16'hffff, d = 16'h5555, e = 0;
  wire [15:0] x = r[15:0], z = r[31:16];
  always @(posedge clk) begin
    if (rst) a <= 16'h1234; else a <= a + x - (z >> 1);
    if (r[32]) b <= b + {x[7:0], z[7:0]};
    if (r[33]) c <= 16'hffff; else if (r[34]) c <= c - z;
    if (r[35]) begin if (r[36]) d <= 0; else d <= d ^ x; end
    e <= $signed(x) < $signed(z) ? x : {15'd0, x == z};
  end
  reg [15:0] f = 16'h00ff;
  always @(negedge clk) if (r[37]) f <= f + x;
  reg [7:0] g = 8'ha5;
  always @(posedge clk or posedge r[63]) if (r[63]) g <= 8'ha5; else if (!r[38]) g <= g + x[7:0];
  wire [63:0] wide = r;
  assign y[15:0] = a;
  assign y[31:16] = b;
  assign y[47:32] = c;
  assign y[63:48] = d;
  assign y[79:64] = e;
  assign y[95:80] = f;
  assign y[103:96] = g;
  assign y[104] = wide[a[5:0]];
  assign y[136:105] = (r[31:0] << r[36:32]) ^ {31'd0, ^r};
  assign y[349:137] = 0;
endmodule
