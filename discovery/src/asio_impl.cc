// SPDX-License-Identifier: MIT
// Boost.Asio is compiled here once (BOOST_ASIO_SEPARATE_COMPILATION) instead of in every source
// that includes it.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
