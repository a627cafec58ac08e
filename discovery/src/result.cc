// SPDX-License-Identifier: MIT
#include "muster/discovery/result.h"

#include <boost/system/errc.hpp>
#include <boost/throw_exception.hpp>
#include <stdexcept>
#include <utility>

namespace muster {

std::string Error::text() const {
  if (code == boost::system::errc::invalid_argument) return detail;
  return detail.empty() ? code.message() : detail + ": " + code.message();
}

Error bad_input(std::string detail) {
  return {boost::system::errc::make_error_code(boost::system::errc::invalid_argument),
          std::move(detail)};
}

void throw_exception_from_error(const Error& error, const boost::source_location& where) {
  boost::throw_exception(std::runtime_error(error.text()), where);
}

}  // namespace muster
