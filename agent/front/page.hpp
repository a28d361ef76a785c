// Owns the page that is shown while Jupyter cannot be: what it says, its HTML, and the answers
// around it.
#pragma once

#include "agent/front/request.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// What the page takes from /run/agent/status.json, which anybody may read. All text is foreign.
struct PageContent {
    struct Step {
        std::string id;
        std::string state;
        std::string reason;
    };
    struct Problem {
        std::string step;
        std::string message;
        std::string next;
    };
    std::string state; // empty: not known
    std::string summary;
    std::optional<Problem> problem;
    std::vector<Step> steps;
};

inline constexpr std::size_t status_file_limit = 65'536;

// Of a status that is absent, no JSON or of another schema: an empty PageContent.
[[nodiscard]] PageContent page_content(const std::optional<std::string>& status_json);

// Self-contained: no script, nothing loaded, reloads itself every 2 s.
[[nodiscard]] std::string render_page(const PageContent& content);

// Complete responses; each closes its connection.
[[nodiscard]] std::string page_answer(const RequestHead& request,
                                      const PageContent& content);     // 503
[[nodiscard]] std::string redirect_answer(const RequestHead& request); // 301, or 400 without a Host
[[nodiscard]] std::string refusal(unsigned status, std::string_view sentence); // 400, 431

} // namespace agent
