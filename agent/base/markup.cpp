#include "agent/base/markup.hpp"

namespace agent {

std::string as_markup(std::string_view text) {
    // No characters, and XML takes neither.
    constexpr std::string_view none[] = {"\xEF\xBF\xBE", "\xEF\xBF\xBF"};
    std::string out;
    while (!text.empty()) {
        std::size_t length = 1;
        if (text.starts_with(none[0]) || text.starts_with(none[1])) {
            length = none[0].size();
            out += '?';
        } else if (text.front() == '&') {
            out += "&amp;";
        } else if (text.front() == '<') {
            out += "&lt;";
        } else if (text.front() == '>') {
            out += "&gt;";
        } else if (text.front() == '"') {
            out += "&quot;";
        } else if (text.front() == '\'') {
            out += "&#39;";
        } else {
            out += text.front();
        }
        text.remove_prefix(length);
    }
    return out;
}

} // namespace agent
