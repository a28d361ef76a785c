#include "agent/front/page.hpp"

#include "agent/base/markup.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <array>

namespace agent {
namespace {

constexpr std::size_t most_steps = 200;

constexpr std::string_view style = R"(
:root{color-scheme:light dark;--fg:#1c2128;--dim:#59636e;--bg:#f6f8fa;--card:#fff;--line:#d8dee4;--go:#0969da;--ok:#1a7f37;--bad:#cf222e;--wait:#9a6700}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--dim:#9198a1;--bg:#0d1117;--card:#161b22;--line:#30363d;--go:#58a6ff;--ok:#3fb950;--bad:#ff7b72;--wait:#d29922}}
*{box-sizing:border-box}
body{margin:0;padding:1.5rem 1rem;background:var(--bg);color:var(--fg);font:1rem/1.5 system-ui,sans-serif}
main{max-width:42rem;margin:0 auto}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
p{margin:.5rem 0;overflow-wrap:anywhere}
.dim{color:var(--dim)}
.problem{border:1px solid var(--bad);border-left-width:.35rem;border-radius:.4rem;background:var(--card);padding:.5rem 1rem;margin:1rem 0}
ol{list-style:none;margin:1.25rem 0;padding:0;border:1px solid var(--line);border-radius:.4rem;background:var(--card)}
li{padding:.5rem 1rem;border-top:1px solid var(--line);overflow-wrap:anywhere}
li:first-child{border-top:0}
li b{font-weight:600}
li span{float:right;margin-left:1rem}
li small{display:block;color:var(--dim)}
.running{color:var(--go)}.waiting{color:var(--wait)}.satisfied,.applied{color:var(--ok)}.failed{color:var(--bad)}.blocked,.pending,.skipped{color:var(--dim)}
)";

// The class is what a step's state looks like; an unknown word must not become markup or style.
constexpr std::array<std::string_view, 8> step_states{
    "pending", "running", "waiting", "satisfied", "applied", "failed", "blocked", "skipped"};

std::string shown(const Value& value, const std::string& key, std::size_t limit = 400) {
    return printable(trim(value.string_or(key, {})), limit);
}

struct Headline {
    std::string title;
    std::string sentence;
};

Headline headline(const PageContent& content) {
    const auto step_in = [&](std::string_view state) -> const PageContent::Step* {
        const auto found = std::find_if(content.steps.begin(),
                                        content.steps.end(),
                                        [&](auto& step) { return step.state == state; });
        return found == content.steps.end() ? nullptr : &*found;
    };
    const auto or_else = [](const std::string& text, const std::string& fallback) {
        return text.empty() ? fallback : text;
    };
    if (content.state == "failed") {
        const bool known = content.problem && !content.problem->step.empty();
        return {known ? "Setting up failed: " + content.problem->step : "Setting up failed",
                content.problem ? std::string{} : content.summary};
    }
    if (content.state == "stopping")
        return {"Stopping", or_else(content.summary, "This machine is being stopped.")};
    if (content.state == "ready" || content.state == "degraded")
        return {"Not ready yet: Jupyter",
                "Jupyter does not answer; it is starting, or starting again."};
    if (const auto* step = step_in("waiting"))
        return {"Waiting for you: " + step->id, or_else(step->reason, content.summary)};
    if (const auto* step = step_in("running"))
        return {"Not ready yet: " + step->id,
                or_else(step->reason, or_else(content.summary, "This machine is being set up."))};
    return {
        "Not ready yet",
        or_else(content.summary, "This machine is starting; it has not yet said how far it is.")};
}

std::string_view reason_phrase(unsigned status) {
    switch (status) {
    case 301:
        return "Moved Permanently";
    case 400:
        return "Bad Request";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Service Unavailable";
    }
}

std::string answer(unsigned status,
                   std::string_view content_type,
                   std::string_view more_headers,
                   std::string_view body,
                   std::string_view method) {
    std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
    out += reason_phrase(status);
    out += "\r\nContent-Type: ";
    out += content_type;
    out += "; charset=utf-8\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
           "Connection: close\r\n";
    out += more_headers;
    out += "\r\n";
    if (method != "HEAD")
        out += body;
    return out;
}

} // namespace

PageContent page_content(const std::optional<std::string>& status_json) {
    PageContent content;
    if (!status_json)
        return content;
    const auto value = parse_json(*status_json);
    if (!value || value->integer_or("schema", 0) != 1)
        return content;
    content.state = shown(*value, "state", 40);
    content.summary = shown(*value, "summary");
    if (const auto* problem = value->find("problem"); problem && problem->as_object()) {
        content.problem.emplace();
        content.problem->step = shown(*problem, "step", 100);
        content.problem->message = shown(*problem, "message", 1000);
        content.problem->next = shown(*problem, "next", 1000);
    }
    const auto* steps = value->find("steps");
    if (!steps || !steps->as_array())
        return content;
    for (const auto& step : *steps->as_array()) {
        if (content.steps.size() == most_steps)
            break;
        PageContent::Step row;
        row.id = shown(step, "id", 100);
        row.state = shown(step, "state", 40);
        row.reason = shown(step, "reason");
        if (!row.id.empty())
            content.steps.push_back(std::move(row));
    }
    return content;
}

std::string render_page(const PageContent& content) {
    const auto [title, sentence] = headline(content);
    std::string out = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                      "<meta http-equiv=\"refresh\" content=\"2\">\n<title>";
    out += as_markup(title);
    out += "</title>\n<style>";
    out += style;
    out += "</style>\n</head>\n<body>\n<main>\n<h1>" + as_markup(title) + "</h1>\n";
    if (!sentence.empty())
        out += "<p>" + as_markup(sentence) + "</p>\n";
    if (content.problem) {
        out += "<div class=\"problem\">\n<p>" + as_markup(content.problem->message) + "</p>\n";
        if (!content.problem->next.empty())
            out += "<p><b>What to do:</b> " + as_markup(content.problem->next) + "</p>\n";
        out += "</div>\n";
    }
    if (!content.steps.empty())
        out += "<ol>\n";
    for (const auto& step : content.steps) {
        const bool known =
            std::find(step_states.begin(), step_states.end(), step.state) != step_states.end();
        out += "<li><span class=\"" + (known ? step.state : std::string{"pending"}) + "\">" +
               as_markup(step.state) + "</span><b>" + as_markup(step.id) + "</b>";
        if (!step.reason.empty())
            out += "<small>" + as_markup(step.reason) + "</small>";
        out += "</li>\n";
    }
    if (!content.steps.empty())
        out += "</ol>\n";
    out += "<p class=\"dim\">This page reloads by itself and becomes Jupyter when Jupyter answers. "
           "Over SSH, <code>agent status</code> says more.</p>\n</main>\n</body>\n</html>\n";
    return out;
}

std::string page_answer(const RequestHead& request, const PageContent& content) {
    // The one style element is ours and everything else is escaped; nothing may be loaded or
    // framed.
    return answer(503,
                  "text/html",
                  "Retry-After: 2\r\n"
                  "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
                  "Referrer-Policy: no-referrer\r\n",
                  render_page(content),
                  request.method);
}

std::string redirect_answer(const RequestHead& request) {
    if (request.host.empty())
        return refusal(400, "This port speaks HTTPS.");
    return answer(301,
                  "text/plain",
                  "Location: https://" + request.host + request.target + "\r\n",
                  "This port speaks HTTPS.\n",
                  request.method);
}

std::string refusal(unsigned status, std::string_view sentence) {
    return answer(status, "text/plain", {}, std::string{sentence} + "\n", {});
}

} // namespace agent
