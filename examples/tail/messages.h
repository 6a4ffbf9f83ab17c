// SPDX-License-Identifier: Apache-2.0
//
// What collector and source say to each other, and how it becomes bytes.
#pragma once

#include <trunkline/grid.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace tail {

// The stream that a source serves. The collector opens it with a Position; messages are Pieces.
inline constexpr const char* kHandler = "tail";

// Where a copy stands in the source's file. The number of a file outlives its name, but not the
// file: that it is the same one is known by its first bytes.
struct Position {
  std::uint64_t file = 0;  // its inode; 0: none yet
  std::uint64_t offset = 0;
  std::uint64_t head_bytes = 0;  // at most kHeadBytesMax, and offset
  std::uint64_t head_hash = 0;   // of so many first bytes
};

inline constexpr std::uint64_t kHeadBytesMax = 256;

enum class PieceKind : std::uint64_t {
  kNext = 0,  // goes on
  kBegins =
      1,     // the first of another file, or of the same one that was emptied; nothing is missing
  kGap = 2,  // the same, but what stood behind the last piece may be lost
};

// Bytes of the file, in order.
struct Piece {
  PieceKind kind = PieceKind::kNext;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::string data{};
};

[[nodiscard]] inline std::uint64_t hash(std::string_view bytes) {
  std::uint64_t value = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : bytes) {
    value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  return value;
}

// Little-endian.
inline void put(std::uint64_t value, std::string& out) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    out += static_cast<char>(value >> shift);
  }
}

// The number at that place of several.
[[nodiscard]] inline std::uint64_t get(std::string_view bytes, std::size_t place) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[8 * place + i])} << (8 * i);
  }
  return value;
}

}  // namespace tail

namespace trunkline {

template <>
struct GridCodec<tail::Position> {
  static void pack(const tail::Position& position, Bytes& out) {
    tail::put(position.file, out);
    tail::put(position.offset, out);
    tail::put(position.head_bytes, out);
    tail::put(position.head_hash, out);
  }

  static bool unpack(std::string_view bytes, tail::Position& position) {
    if (bytes.size() != 32) {
      return false;
    }
    position = {tail::get(bytes, 0), tail::get(bytes, 1), tail::get(bytes, 2), tail::get(bytes, 3)};
    return position.head_bytes <= std::min(tail::kHeadBytesMax, position.offset);
  }
};

template <>
struct GridCodec<tail::Piece> {
  static void pack(const tail::Piece& piece, Bytes& out) {
    tail::put(static_cast<std::uint64_t>(piece.kind), out);
    tail::put(piece.file, out);
    tail::put(piece.offset, out);
    out += piece.data;
  }

  static bool unpack(std::string_view bytes, tail::Piece& piece) {
    if (bytes.size() < 24 || tail::get(bytes, 0) > 2) {
      return false;
    }
    piece = {static_cast<tail::PieceKind>(tail::get(bytes, 0)), tail::get(bytes, 1),
             tail::get(bytes, 2), std::string(bytes.substr(24))};
    return true;
  }
};

}  // namespace trunkline
