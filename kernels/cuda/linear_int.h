// What the linear layers with integer weights share.
#pragma once
#include "linear.h"

// low4 and high4 turn four bytes of a pack into 16·q for four inputs j.., and j+32..,
// as int8: the nibble q+8 moves to the byte's upper half, where a flipped sign bit
// takes 8 off. Sums of 16·q·x are exact in int32 up to 2³¹/(16·8·127) = 132,000 inputs.
// Three instructions for eight weights.
DEV uint32_t high4(uint32_t w) { return and_xor(w, 0xf0f0f0f0u, 0x80808080u); }
DEV uint32_t low4(uint32_t w) { return high4(w << 4); }

// scaled is the output of a sum: Σ q·x, of Σ 16·q·x with int4, times both scales.
template <int Bits> DEV float scaled(int sum, float wScale, float xScale) {
  return (float)(Bits == 4 ? sum >> 4 : sum) * (wScale * xScale);
}
