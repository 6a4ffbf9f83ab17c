// SPDX-License-Identifier: Apache-2.0
//
// A doubly linked list whose links live in the elements: no allocation to join a list, constant
// time to leave it. An element that is destroyed leaves by itself.
#pragma once

#include "core/assert.h"

#include <cstddef>

namespace trunkline {

template <class T, class Tag>
class IntrusiveList;

// Base of an element; Tag tells the lists apart that one object may be in.
template <class Tag>
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;

  ~ListHook() { unlink(); }

  [[nodiscard]] bool is_linked() const { return next_ != this; }

  void unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = this;
  }

 private:
  template <class T, class OtherTag>
  friend class IntrusiveList;

  ListHook* next_ = this;
  ListHook* previous_ = this;
};

// Does not own its elements. Thread: owning shard.
template <class T, class Tag>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() = default;

  [[nodiscard]] bool empty() const { return !head_.is_linked(); }

  // The element must not be in a list of this Tag.
  void push_back(T& element) {
    ListHook<Tag>& hook = element;
    TRUNKLINE_ASSERT(!hook.is_linked());
    hook.previous_ = head_.previous_;
    hook.next_ = &head_;
    head_.previous_->next_ = &hook;
    head_.previous_ = &hook;
  }

  // nullptr when empty.
  [[nodiscard]] T* front() { return empty() ? nullptr : static_cast<T*>(head_.next_); }

  // The element after `element`, nullptr at the end.
  [[nodiscard]] T* after(T& element) {
    ListHook<Tag>* next = static_cast<ListHook<Tag>&>(element).next_;
    return next == &head_ ? nullptr : static_cast<T*>(next);
  }

  // Unlinks and returns the first element, nullptr when empty.
  T* pop_front() {
    T* first = front();
    if (first != nullptr) {
      static_cast<ListHook<Tag>&>(*first).unlink();
    }
    return first;
  }

  // Moves all elements of `other` behind those of this list.
  void splice_back(IntrusiveList& other) {
    if (other.empty()) {
      return;
    }
    ListHook<Tag>* first = other.head_.next_;
    ListHook<Tag>* last = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }

 private:
  ListHook<Tag> head_;
};

}  // namespace trunkline
