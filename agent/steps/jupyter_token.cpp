#include "agent/steps/jupyter_token.hpp"

#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"

#include <filesystem>

namespace agent {
namespace {

constexpr std::size_t token_bytes = 32;

} // namespace

std::optional<Secret> current_token(const Root& root) {
    const auto content = read_file(root / layout::front_token, 1024);
    if (!content || !*content)
        return std::nullopt;
    const std::string& token = **content;
    const bool whole = token.size() == 2 * token_bytes &&
                       token.find_first_not_of("0123456789abcdef") == std::string::npos;
    return whole ? std::optional{Secret{token}} : std::nullopt;
}

boost::asio::awaitable<Result<StepCheck>> JupyterToken::check(StepContext&) {
    if (!current_token(ports_.root))
        co_return StepCheck::due("there is no token of this instance");
    co_return StepCheck::yes();
}

boost::asio::awaitable<Result<void>> JupyterToken::apply(StepContext& context) {
    const auto file = ports_.root / layout::front_token;
    if (auto made = ensure_directory(file.parent_path(), {.mode = 0700}); !made)
        co_return made;
    if (current_token(ports_.root) && !context.on_new_instance())
        co_return Result<void>{};
    // Whoever logged in on the other instance must not be logged in here.
    if (auto removed = remove_file(ports_.root / layout::cookie_secret);
        !removed && std::filesystem::exists(ports_.root / layout::cookie_secret))
        co_return removed;
    const Secret token{random_hex(token_bytes)};
    co_return durable_write(file, token.reveal(), {.mode = 0600});
}

} // namespace agent
