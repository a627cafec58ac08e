// SPDX-License-Identifier: MIT
//
// What browsers send, and how text gets safely back to them.
#pragma once

#include <string>
#include <string_view>

namespace session_web {

/// The field `name` of a form's body, decoded; empty where absent.
std::string form_field(std::string_view body, std::string_view name);
/// The value of the cookie `name`; empty where absent.
std::string cookie_value(std::string_view cookies, std::string_view name);
/// For use in HTML.
std::string escaped(std::string_view text);

}  // namespace session_web
