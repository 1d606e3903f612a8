// Steps of matrices on their way through shared memory.
#pragma once
#include "gpu.h"

// at is where a piece of 16 bytes of a row stands in a stage, of rows of RowBytes, so that
// lanes that read together meet no bank twice: eight rows' pieces (ldmatrix), four pieces
// of two rows (16 bytes a lane), halves of two pieces of four (8 bytes). Rows 8 further
// have the same order.
template <int RowBytes> DEV constexpr int at(int row, int piece) {
  int p = RowBytes == 128 ? piece ^ (row % 2 * 4 + row / 2 % 4) : RowBytes == 64 ? piece ^ (row / 2 % 2 * 2 + row / 4 % 2) : piece ^ row / 4 % 2;
  return row * RowBytes + p * 16;
}

// spread says whether Rows rows' Pieces pieces, from any multiple of those on, are in
// different ones of the banks' eight columns of 16 bytes.
template <int RowBytes, int Rows, int Pieces> DEV constexpr bool spread() {
  for (int first = 0; first < 8; first += Rows)
    for (int piece = 0; piece < RowBytes / 16; piece += Pieces) {
      int columns = 0;
      for (int i = 0; i < Rows * Pieces; i++) columns |= 1 << at<RowBytes>(first + i / Pieces, piece + i % Pieces) / 16 % 8;
      if (columns != 255) return false;
    }
  return true;
}
static_assert(spread<32, 8, 1>() && spread<64, 8, 1>() && spread<128, 8, 1>());
static_assert(spread<64, 2, 4>() && spread<128, 2, 4>() && spread<32, 4, 2>() && spread<64, 4, 2>());

// Source is a matrix whose Rows rows first.. some threads read, RowBytes of each a step:
// of each thread the pieces of rows that are Threads / pieces apart, from its first one on.
template <int RowBytes, int Rows, int Threads> struct Source {
  static const int pieces = RowBytes / 16, apart = Threads / pieces;
  static_assert(Rows % apart == 0);
  const uint8_t* from;
  int64_t size;            // bytes of a row
  int row, piece, left, end; // of the first piece: place in a stage, rows to the last, bytes to its row's end

  DEV_MEMBER Source(int thread, const uint8_t* data, int64_t first, int64_t count, int64_t size) : size(size) {
    row = thread / pieces, piece = thread % pieces;
    from = data + (first + row) * size + piece * 16;
    left = (int)(count - first) - row, end = (int)size - piece * 16;
  }
  // ask asks for step s, zeros behind the last row and a row's end.
  DEV_MEMBER void ask(Shared stage, int s) const {
    bool there = s * RowBytes < end;
    int to = at<RowBytes>(row, piece);
#pragma unroll
    for (int i = 0; i < Rows / apart; i++)
      cp_async16_if(stage + (apart % 8 == 0 ? to + i * apart * RowBytes : at<RowBytes>(row + i * apart, piece)), from + i * apart * size + s * RowBytes, there && i * apart < left);
  }
};
