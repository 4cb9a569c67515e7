// A chip small enough to read: its logits are a row of a table that the last token selects.
// Same boundary as a generated token model; used to develop and test the harness against.
module rom #(parameter WIDTH = 8, ABITS = 4, FILE = "rom/table.hex") (
    input clk, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);
  reg [WIDTH-1:0] mem [0:(1 << ABITS) - 1];
  initial $readmemh(FILE, mem);
  always @(posedge clk) data <= mem[addr];
endmodule

module chip (
    input clk, input rst,
    input [16:0] i__payload, input i__valid, output i__ready,
    output reg [16:0] o__payload, output reg o__valid, input o__ready,
    input start, input [31:0] seed, input [15:0] beta, input [15:0] limit,
    output busy, output reg [31:0] cycles, output reg [15:0] position, output [1:0] active,
    input [4:0] id_addr, output [7:0] id_data
);
  localparam VOCABULARY = 32, CONTEXT = 24, BOS = 0, EOS = 1, SHIFT = 2;
  localparam IDLE = 0, PROMPT = 1, SCAN = 2, EMIT = 3;
  reg [1:0] state = IDLE;
  reg [4:0] token;
  reg [5:0] index, index1, index2;
  reg seen1, seen2;
  reg [31:0] rng, counter;
  reg [15:0] count;
  reg [4:0] best;
  reg signed [47:0] score_best;

  wire [9:0] address = {token, index[4:0]};
  wire signed [15:0] logit;
  rom #(16, 10, "rom/table.hex") table_rom (clk, address, logit);
  rom #(8, 5, "rom/identity.hex") identity_rom (clk, id_addr, id_data);

  wire [31:0] x1 = rng ^ rng << 13;
  wire [31:0] x2 = x1 ^ x1 >> 17;
  wire [31:0] x3 = x2 ^ x2 << 5;
  wire [15:0] w = x3[31:16];
  reg [3:0] zeros;
  integer k;
  always @* begin
    zeros = 15;
    for (k = 0; k < 16; k = k + 1) if (w[k]) zeros = 15 - k;
  end
  wire [15:0] shifted = w << zeros << 1;
  wire signed [15:0] noise;
  rom #(16, 10, "rom/noise.hex") noise_rom (clk, {zeros, shifted[15:10]}, noise);

  wire signed [16:0] factor = {1'b0, beta};
  wire signed [47:0] score = beta == 0 ? logit : logit * factor + (noise <<< SHIFT);
  wire better = index1 == 0 || score > score_best;
  wire [15:0] made = count + 1;
  wire last = best == EOS || made == limit || position == CONTEXT;

  assign i__ready = state == IDLE || state == PROMPT;
  assign busy = state != IDLE;
  assign active = {state == EMIT, state == SCAN};

  always @(posedge clk) begin
    counter <= counter + 1;
    seen1 <= 0;
    case (state)
      IDLE, PROMPT: begin
        index <= 0;
        if (state == IDLE && (start || i__valid)) begin
          rng <= seed;
          count <= 0;
          position <= 1;
          counter <= 1;
          token <= start ? BOS : i__payload[4:0];
          state <= start || i__payload[16] ? SCAN : PROMPT;
        end else if (i__valid && i__ready) begin
          position <= position + 1;
          counter <= 1;
          token <= i__payload[4:0];
          if (i__payload[16]) state <= SCAN;
        end
      end
      SCAN: begin
        if (index != VOCABULARY) begin
          index <= index + 1;
          seen1 <= 1;
          index1 <= index;
          if (beta != 0) rng <= x3;
        end
        if (seen1 && better) begin
          best <= index1[4:0];
          score_best <= score;
        end
        if (index == VOCABULARY && !seen1) begin
          o__payload <= {last, 11'd0, best};
          o__valid <= 1;
          cycles <= counter;
          state <= EMIT;
        end
      end
      EMIT: if (o__ready) begin
        o__valid <= 0;
        index <= 0;
        counter <= 1;
        token <= best;
        count <= made;
        position <= position + 1;
        state <= o__payload[16] ? IDLE : SCAN;
      end
    endcase
    if (rst) begin
      state <= IDLE;
      o__valid <= 0;
      position <= 0;
      cycles <= 0;
    end
  end
endmodule
