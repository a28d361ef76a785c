// Owns how text goes into the text and the attributes of HTML and XML.
#pragma once

#include <string>
#include <string_view>

namespace agent {

[[nodiscard]] std::string as_markup(std::string_view text);

} // namespace agent
