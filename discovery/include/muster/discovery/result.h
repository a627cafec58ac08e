// SPDX-License-Identifier: MIT
//
// One error type for failures that are expected; our own bugs are assertions, never values.
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <string>

namespace muster {

/// What failed (`code`, for programs) and on what (`detail`, for people: what, where, what to do).
struct Error {
  boost::system::error_code code;
  std::string detail;

  /// "detail: message of code", or the detail alone where the code says no more than "invalid
  /// argument".
  [[nodiscard]] std::string text() const;
};

/// An Error for bad input: the detail says everything.
[[nodiscard]] Error bad_input(std::string detail);

/// ADL hook of boost::system::result: value() on a failed result throws std::runtime_error.
[[noreturn]] void throw_exception_from_error(const Error& error,
                                             const boost::source_location& where);

/// A T or an Error.  Unlike its base it may not be dropped on the floor.
template <class T>
class [[nodiscard]] Result : public boost::system::result<T, Error> {
 public:
  using boost::system::result<T, Error>::result;
};

}  // namespace muster
