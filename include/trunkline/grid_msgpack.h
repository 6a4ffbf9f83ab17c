// SPDX-License-Identifier: Apache-2.0
//
// Typed handlers and calls of the grid for every type that msgpack-cxx can pack: numbers, strings,
// containers, and structs with MSGPACK_DEFINE or an adaptor of their own.
//
//   struct LockRequest {
//     std::string resource;
//     std::vector<std::string> owners;
//     MSGPACK_DEFINE(resource, owners)
//   };
//
//   node->handle<LockRequest, bool>("lock", [](LockRequest request, GridRequest) -> … { … });
//   GridResult<bool> locked = co_await peer.call<LockRequest, bool>("lock", request);
//
// Needs msgpack-cxx's headers (Debian: libmsgpack-cxx-dev), of version 3 or later; nothing of it is
// linked. With MSGPACK_NO_BOOST defined they need no Boost.
//
// Types must own what they hold: a std::string_view or msgpack::object inside one would point into
// a payload that is gone. A GridCodec that a program specialises for a type of its own wins.
//
// A payload that is not one of the type is an error and never an exception. What it can make a
// receiver allocate is bounded by its own size: each element that it claims must be there.
#pragma once

#include <trunkline/grid.h>

#include <msgpack.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace trunkline {

// Containers in containers, at most.
inline constexpr std::size_t kGridMsgpackDepthMax = 64;

// Specialise it as false for types that have a codec by a constrained template of the program's,
// which would be as good as this one.
template <class T>
inline constexpr bool kGridUsesMsgpack = true;

template <class T>
concept GridMsgpackType =
    kGridUsesMsgpack<T> && std::default_initializable<T> && !std::is_pointer_v<T> &&
    !std::same_as<T, std::string_view> && !std::same_as<T, msgpack::object>;

namespace detail {

// Packs straight into the payload.
struct MsgpackSink {
  Bytes& out;

  void write(const char* bytes, std::size_t count) { out.append(bytes, count); }
};

// Makes objects of what the parser sees. Texts stay where they are, in the payload.
class MsgpackBuilder : public msgpack::null_visitor {
 public:
  void begin(std::size_t bytes) {
    elements_left_ = bytes;
    depth_ = 0;
    places_[0] = &root_;
  }

  // Called by the parser; begin() has done it.
  void init() {}

  // Valid until clear().
  [[nodiscard]] const msgpack::object& root() const { return root_; }

  void clear() { zone_.clear(); }

  bool visit_nil() { return here(msgpack::type::NIL); }

  bool visit_boolean(bool value) {
    place().via.boolean = value;
    return here(msgpack::type::BOOLEAN);
  }

  bool visit_positive_integer(std::uint64_t value) {
    place().via.u64 = value;
    return here(msgpack::type::POSITIVE_INTEGER);
  }

  bool visit_negative_integer(std::int64_t value) {
    if (value >= 0) {
      return visit_positive_integer(static_cast<std::uint64_t>(value));
    }
    place().via.i64 = value;
    return here(msgpack::type::NEGATIVE_INTEGER);
  }

  bool visit_float32(float value) {
    place().via.f64 = static_cast<double>(value);
    return here(msgpack::type::FLOAT32);
  }

  bool visit_float64(double value) {
    place().via.f64 = value;
    return here(msgpack::type::FLOAT64);
  }

  bool visit_str(const char* bytes, std::uint32_t count) {
    place().via.str = {count, bytes};
    return here(msgpack::type::STR);
  }

  bool visit_bin(const char* bytes, std::uint32_t count) {
    place().via.bin = {count, bytes};
    return here(msgpack::type::BIN);
  }

  // The first byte is the extension's type.
  bool visit_ext(const char* bytes, std::uint32_t count) {
    place().via.ext = {count - 1, bytes};
    return here(msgpack::type::EXT);
  }

  bool start_array(std::uint32_t count) {
    msgpack::object* elements = nullptr;
    if (!reserve(count, elements)) {
      return false;
    }
    place().via.array = {count, elements};
    here(msgpack::type::ARRAY);
    places_[++depth_] = elements;
    return true;
  }

  bool end_array_item() { return next(); }

  bool end_array() { return leave(); }

  bool start_map(std::uint32_t count) {
    static_assert(sizeof(msgpack::object_kv) == 2 * sizeof(msgpack::object));
    msgpack::object* elements = nullptr;
    if (!reserve(std::size_t{count} * 2, elements)) {
      return false;
    }
    place().via.map = {count, reinterpret_cast<msgpack::object_kv*>(elements)};
    here(msgpack::type::MAP);
    places_[++depth_] = elements;
    return true;
  }

  bool end_map_key() { return next(); }

  bool end_map_value() { return next(); }

  bool end_map() { return leave(); }

 private:
  [[nodiscard]] msgpack::object& place() { return *places_[depth_]; }

  bool here(msgpack::type::object_type type) {
    place().type = type;
    return true;
  }

  bool next() {
    ++places_[depth_];
    return true;
  }

  bool leave() {
    --depth_;
    return true;
  }

  // Every element of every container has a byte of its own in the payload, so more than those are
  // a lie; without this, containers that claim much would each get it, one inside the other.
  bool reserve(std::size_t count, msgpack::object*& elements) {
    if (count > elements_left_ || depth_ >= kGridMsgpackDepthMax) {
      return false;
    }
    elements_left_ -= count;
    if (count > 0) {
      elements = static_cast<msgpack::object*>(
          zone_.allocate_align(count * sizeof(msgpack::object), alignof(msgpack::object)));
    }
    return true;
  }

  msgpack::zone zone_;
  msgpack::object root_;
  std::size_t elements_left_ = 0;
  std::size_t depth_ = 0;
  std::array<msgpack::object*, kGridMsgpackDepthMax + 1> places_{};
};

// Kept by each thread, with its memory. msgpack::unpack() and parse() would make a parser, a stack
// and a zone for each message.
class MsgpackUnpacker {
 public:
  template <class T>
  bool unpack(std::string_view bytes, T& value) {
    std::size_t read = 0;
    builder_.begin(bytes.size());
    parser_.init();
    const bool is_whole =
        !bytes.empty() &&
        parser_.execute(bytes.data(), bytes.size(), read) == msgpack::PARSE_SUCCESS &&
        read == bytes.size();
    if (is_whole) {
      builder_.root().convert(value);
    }
    return is_whole;
  }

  // Lends the thread's own, or a new one to whoever unpacks inside an unpacking.
  class Loan {
   public:
    Loan() : unpacker_(&of_thread()) {
      if (std::exchange(unpacker_->is_lent_, true)) {
        other_ = std::make_unique<MsgpackUnpacker>();
        unpacker_ = other_.get();
      }
    }

    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    ~Loan() {
      unpacker_->builder_.clear();
      unpacker_->is_lent_ = false;
    }

    [[nodiscard]] MsgpackUnpacker& get() const { return *unpacker_; }

   private:
    static MsgpackUnpacker& of_thread() {
      static thread_local MsgpackUnpacker unpacker;
      return unpacker;
    }

    MsgpackUnpacker* unpacker_;
    std::unique_ptr<MsgpackUnpacker> other_;
  };

 private:
  bool is_lent_ = false;
  MsgpackBuilder builder_;
  msgpack::detail::parse_helper<MsgpackBuilder> parser_{builder_};
};

}  // namespace detail

template <GridMsgpackType T>
struct GridCodec<T> {
  // Appends. Throws what the type's own packing throws.
  static void pack(const T& value, Bytes& out) {
    detail::MsgpackSink sink{out};
    msgpack::pack(sink, value);
  }

  // False: not one, or followed by something; `value` is anything then.
  static bool unpack(std::string_view bytes, T& value) {
    try {
      const detail::MsgpackUnpacker::Loan loan;
      return loan.get().unpack(bytes, value);
    } catch (...) {
      return false;
    }
  }
};

}  // namespace trunkline
