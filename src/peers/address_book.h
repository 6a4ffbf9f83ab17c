// SPDX-License-Identifier: Apache-2.0
//
// What is known of addresses: which were good, which failed, which nobody has tried. Addresses that
// requests are about stay; of the others so many are kept, the good ones longest.
#pragma once

#include "core/intrusive_list.h"
#include "core/random.h"
#include "core/time.h"
#include "peers/address.h"
#include "peers/breaker.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::peers {

struct IdleAddresses;
struct UntriedAddresses;

struct AddressRecord : ListHook<IdleAddresses>, ListHook<UntriedAddresses> {
  const std::string* text = nullptr;     // the key, in its one spelling
  std::optional<PeerEndpoint> endpoint;  // nothing for a name
  NetKey host;
  NetKey group;
  Breaker breaker;
  TimePoint not_before;        // for those that the target may choose
  std::uint32_t failures = 0;  // in a row: dials, and connections that were not good
  std::uint32_t uses = 0;      // requests that are about it
  std::optional<TimePoint> last_tried;
  std::optional<TimePoint> last_good;
};

// Thread: the owner's.
class AddressBook {
 public:
  AddressBook(std::size_t idle_max, Prefixes prefixes) : idle_max_(idle_max), prefixes_(prefixes) {}

  AddressBook(const AddressBook&) = delete;
  AddressBook& operator=(const AddressBook&) = delete;
  ~AddressBook() = default;

  // The record, made when there is none. The reference lasts while it is in use. Errors:
  // kInvalidArgument.
  [[nodiscard]] Result<AddressRecord*> at(std::string_view text);
  // The one that is there, or nullptr.
  [[nodiscard]] AddressRecord* find(std::string_view text);

  // A request is about it from now on; no longer.
  void use(AddressRecord& record);
  void release(AddressRecord& record);

  // It is not untried any more.
  void tried(AddressRecord& record, TimePoint now);

  // An address that nobody has tried and no request is about, for which `is_fit`; nullptr if none
  // is found among the first few.
  template <class IsFit>
  [[nodiscard]] AddressRecord* untried(IsFit is_fit) {
    int looked_at = 0;
    for (AddressRecord* one = untried_.front(); one != nullptr && looked_at < kLookedAt;
         one = untried_.after(*one), ++looked_at) {
      if (one->uses == 0 && is_fit(*one)) {
        return one;
      }
    }
    return nullptr;
  }

  // Some address that no request is about and for which `is_fit`, from a random place on.
  template <class IsFit>
  [[nodiscard]] AddressRecord* any(Random& random, IsFit is_fit) {
    if (idle_count_ == 0) {
      return nullptr;
    }
    // Moving the first ones to the end now and again makes the place random enough: it only has to
    // differ from one time to the next.
    for (std::uint64_t skip = random.below(kLookedAt); skip > 0; --skip) {
      idle_.push_back(*idle_.pop_front());
    }
    int looked_at = 0;
    for (AddressRecord* one = idle_.front(); one != nullptr && looked_at < kLookedAt;
         one = idle_.after(*one), ++looked_at) {
      if (is_fit(*one)) {
        return one;
      }
    }
    return nullptr;
  }

  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [text, record] : records_) {
      visit(record);
    }
  }

  [[nodiscard]] std::size_t size() const { return records_.size(); }

  [[nodiscard]] std::size_t idle_count() const { return idle_count_; }

 private:
  static constexpr int kLookedAt = 64;

  void forget_one();

  const std::size_t idle_max_;
  const Prefixes prefixes_;
  std::unordered_map<std::string, AddressRecord> records_;
  IntrusiveList<AddressRecord, IdleAddresses> idle_;
  IntrusiveList<AddressRecord, UntriedAddresses> untried_;
  std::size_t idle_count_ = 0;
};

}  // namespace trunkline::peers
