// A board wrapper of the shape that `rtl_gen.board` gives: a PLL, four pins, lamps.
module top (input clk_25mhz, input ftdi_txd, output ftdi_rxd, input btn_fire1, output [7:0] led);
  wire clk, locked;
  (* FREQUENCY_PIN_CLKI = "25", FREQUENCY_PIN_CLKOP = "50" *)
  EHXPLLL #(
      .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"),
      .DPHASE_SOURCE("DISABLED"), .OUTDIVIDER_MUXA("DIVA"), .CLKOP_ENABLE("ENABLED"),
      .CLKOP_DIV(12), .CLKOP_CPHASE(5), .CLKOP_FPHASE(0), .FEEDBK_PATH("CLKOP"),
      .CLKI_DIV(1), .CLKFB_DIV(2)
  ) pll (
      .RST(1'b0), .STDBY(1'b0), .CLKI(clk_25mhz), .CLKOP(clk), .CLKFB(clk), .CLKINTFB(),
      .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1),
      .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0), .LOCK(locked)
  );
  reg [16:0] beat;
  wire [16:0] answer;
  always @(posedge clk) beat <= {beat[15:0], ftdi_txd};
  chip chip (
      .clk(clk), .rst(!locked), .i__payload(beat), .i__valid(1'b1), .i__ready(),
      .o__payload(answer), .o__valid(), .o__ready(1'b1), .start(btn_fire1), .seed(32'd1),
      .beta(16'd0), .limit(16'd0), .busy(led[7]), .cycles(), .position(), .id_addr(beat[4:0]),
      .id_data()
  );
  assign led[6:0] = answer[6:0];
  assign ftdi_rxd = answer[16];
endmodule
