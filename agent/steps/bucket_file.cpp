#include "agent/steps/bucket_file.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/metadata.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* copies = "/var/lib/agent/bucket-files"; // each as last installed from
constexpr auto longest_read = 2min; // the workers have shorter limits of their own
// Characters that the JSON between us and the worker doubles.
constexpr std::size_t answer_limit = std::size_t{8} << 20;
constexpr std::size_t mark_length = 12;

// Of another object no copy is taken for this one's.
std::string mark_of(const std::string& place) {
    return sha256_hex(place).substr(0, mark_length) + "-";
}

FileMode for_alone(const Account& user) {
    return {.mode = 0640, .group = user.gid};
}

} // namespace

BucketFile::BucketFile(const StepPorts& ports,
                       std::string place,
                       std::filesystem::path copy,
                       Network network)
    : ports_{ports}, place_{std::move(place)}, copy_{std::move(copy)},
      network_{std::move(network)} {}

std::optional<BucketFile>
BucketFile::at(const StepPorts& ports, const std::string& place, const Use& use, Network network) {
    if (!is_in_bucket(place))
        return std::nullopt;
    std::string name = mark_of(place) + use.step + "-" + use.name;
    std::replace(name.begin(), name.end(), ':', '-');
    auto copy = ports.root / copies / name;
    return BucketFile{ports, place, std::move(copy), std::move(network)};
}

boost::asio::awaitable<Result<std::string>>
BucketFile::ask(StepContext& context, Account user, std::string worker, std::string order) const {
    Command command;
    command.argv = {"/proc/self/exe", "worker", std::move(worker)};
    command.input = std::move(order);
    command.as = std::move(user);
    command.deadline = longest_read;
    command.output_limit = answer_limit;
    command.on_line = [](std::string_view) {}; // neither a token nor a text is for a log
    // Where the daemon itself was told that the metadata server is.
    if (const char* host = std::getenv(metadata_variable))
        command.environment[metadata_variable] = host;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    // What it said may be a token, and an error quotes what a program has said.
    if (!outcome->succeeded())
        outcome->output.clear();
    // Killed and out of memory may pass.
    auto ended = require_success(std::move(*outcome), ErrorKind::transient);
    if (!ended)
        co_return agent::context(ended.error(), "reading " + place_);
    co_return std::string{trim(ended->output)};
}

boost::asio::awaitable<Result<std::string>> BucketFile::read(StepContext& context,
                                                             Account user) const {
    if (auto readable = certificates_are_readable(ports_.root, network_); !readable)
        co_return readable.error();
    context.progress("reading " + place_);
    const auto told = co_await ask(context, user, "account", {});
    if (!told)
        co_return told.error();
    auto account = read_account(*told);
    if (!account)
        co_return agent::context(account.error(), "reading " + place_);
    BucketOrder order;
    order.place = place_;
    order.url = object_url(place_);
    order.reader = std::move(*account);
    order.proxy = network_.proxy;
    order.no_proxy = network_.no_proxy;
    order.ca_certificates = network_.ca_certificates;
    const auto read = co_await ask(context, std::move(user), "bucket", write_order(order));
    if (!read)
        co_return read.error();
    auto answer = read_answer(*read);
    if (!answer)
        co_return with_network_state(answer.error(), ports_.root);
    co_return answer;
}

boost::asio::awaitable<Result<std::string>> BucketFile::look(StepContext& context, Account user) {
    if (text_)
        co_return *text_;
    auto now = co_await read(context, user);
    if (now) {
        text_ = std::move(*now);
        is_kept_ = file_is(copy_, *text_, for_alone(user));
        co_return *text_;
    }
    auto kept = read_file(copy_);
    if (!kept || !*kept)
        co_return now.error();
    unread_ = now.error();
    context.log(printable("going on with what was read last: " + unread_->message, 900));
    text_ = std::move(**kept);
    is_kept_ = true;
    co_return *text_;
}

boost::asio::awaitable<Result<std::string>> BucketFile::take(StepContext& context, Account user) {
    if (!text_ || unread_) {
        auto now = co_await read(context, user);
        if (!now)
            co_return now.error();
        text_ = std::move(*now);
        unread_.reset();
    }
    if (auto kept = keep(user); !kept)
        co_return agent::context(kept.error(), "keeping " + place_);
    is_kept_ = true;
    co_return *text_;
}

Result<void> BucketFile::keep(const Account& user) const {
    const FileMode mode = for_alone(user);
    if (!file_is(copy_, *text_, mode)) {
        if (auto made = ensure_directory(copy_.parent_path(), {.mode = 0711}); !made)
            return made;
        if (auto written = durable_write(copy_, *text_, mode); !written)
            return written;
    }
    // Of objects that the configuration named before.
    const std::string name = copy_.filename().string();
    std::error_code failure;
    std::vector<std::filesystem::path> others;
    for (std::filesystem::directory_iterator entry{copy_.parent_path(), failure}, end;
         !failure && entry != end;
         entry.increment(failure)) {
        const std::string other = entry->path().filename().string();
        if (other != name && other.size() == name.size() &&
            other.substr(mark_length) == name.substr(mark_length))
            others.push_back(entry->path());
    }
    for (const auto& other : others)
        if (auto removed = remove_file(other); !removed)
            return removed;
    return {};
}

std::string BucketFile::note() const {
    if (!unread_)
        return {};
    return "going by what was read last: " + printable(unread_->message, 300);
}

} // namespace agent
