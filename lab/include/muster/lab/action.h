// SPDX-License-Identifier: MIT
//
// A move-only callable that runs once and lives in place: what an agenda holds millions of.  A
// capture beyond `inline_bytes` goes to the heap, so it is slower, never refused.
#pragma once

#include <boost/assert.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace muster::lab {

class Action {
 public:
  static constexpr std::size_t inline_bytes = 56;

  Action() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Action> &&
           std::is_invocable_v<std::remove_cvref_t<F>&>)
      Action(F&& callable) {  // NOLINT(google-explicit-constructor): a lambda is an action
    using Callable = std::remove_cvref_t<F>;
    if constexpr (fits<Callable>) {
      ::new (static_cast<void*>(&space_)) Callable(std::forward<F>(callable));
      table_ = &in_place<Callable>;
    } else {
      ::new (static_cast<void*>(&space_))
          std::unique_ptr<Callable>(std::make_unique<Callable>(std::forward<F>(callable)));
      table_ = &on_heap<Callable>;
    }
  }
  Action(Action&& other) noexcept { take(other); }
  Action& operator=(Action&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  Action(const Action&) = delete;
  Action& operator=(const Action&) = delete;
  ~Action() { reset(); }

  explicit operator bool() const { return table_ != nullptr; }
  void operator()() {
    BOOST_ASSERT(table_ != nullptr);
    table_->call(&space_);
  }

 private:
  struct Functions {
    void (*call)(void*);
    void (*move)(void* to, void* from);  ///< Leaves nothing at `from`.
    void (*destroy)(void*);
  };

  template <class F>
  static constexpr bool fits =
      sizeof(F) <= inline_bytes &&
      alignof(F) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<F>;

  template <class F>
  static void move_object(void* to, void* from) {
    auto* object = static_cast<F*>(from);
    ::new (to) F(std::move(*object));
    object->~F();
  }
  template <class F>
  static void destroy_object(void* at) {
    static_cast<F*>(at)->~F();
  }

  template <class F>
  static constexpr Functions in_place{[](void* at) { (*static_cast<F*>(at))(); }, &move_object<F>,
                                      &destroy_object<F>};
  template <class F>
  static constexpr Functions on_heap{[](void* at) { (**static_cast<std::unique_ptr<F>*>(at))(); },
                                     &move_object<std::unique_ptr<F>>,
                                     &destroy_object<std::unique_ptr<F>>};

  void take(Action& other) noexcept {
    table_ = std::exchange(other.table_, nullptr);
    if (table_ != nullptr) table_->move(&space_, &other.space_);
  }
  void reset() {
    if (table_ != nullptr) std::exchange(table_, nullptr)->destroy(&space_);
  }

  const Functions* table_ = nullptr;
  alignas(std::max_align_t) std::byte space_[inline_bytes];
};

}  // namespace muster::lab
