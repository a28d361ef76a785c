#include "agent/graph/ledger.hpp"

#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace agent {
namespace {

constexpr std::size_t size_limit = 64 * 1024;
constexpr unsigned kept_aside = 3;

Result<LedgerEntry> parse(std::string_view text) {
    const auto value = parse_json(text);
    if (!value)
        return value.error();
    const Value* version = value->find("version");
    if (!version || !version->as_integer())
        return permanent("no version");
    if (*version->as_integer() != Ledger::version)
        return permanent("version " + std::to_string(*version->as_integer()) +
                         ", this agent knows " + std::to_string(Ledger::version));
    LedgerEntry entry;
    entry.fingerprint = value->string_or("fingerprint", "");
    entry.instance_id = value->string_or("instance_id", "");
    entry.attempts = static_cast<unsigned>(
        std::clamp<std::int64_t>(value->integer_or("attempts", 0), 0, 1'000'000));
    entry.outcome = value->string_or("outcome", "");
    entry.error = value->string_or("error", "");
    return entry;
}

std::string write(const LedgerEntry& entry) {
    return write_json(Value::Object{
               {"version", Ledger::version, {}},
               {"fingerprint", entry.fingerprint, {}},
               {"instance_id", entry.instance_id, {}},
               {"attempts", std::int64_t{entry.attempts}, {}},
               {"outcome", entry.outcome, {}},
               {"error", entry.error, {}},
           }) +
           "\n";
}

class DirectoryStore : public LedgerStore {
public:
    explicit DirectoryStore(std::filesystem::path directory) : directory_{std::move(directory)} {}
    Result<void> write(const std::string& id, const std::string& content) override {
        return durable_write(directory_ / (id + ".json"), content, {.mode = 0600});
    }

private:
    std::filesystem::path directory_;
};

} // namespace

Ledger Ledger::over(std::shared_ptr<LedgerStore> store,
                    const std::map<std::string, std::string>& contents) {
    Ledger ledger{{}, std::move(store)};
    for (const auto& [id, content] : contents) {
        if (const auto entry = parse(content))
            ledger.entries_[id] = *entry;
        else
            ledger.notes_.push_back("the ledger's entry of " + id + " cannot be used (" +
                                    entry.error().message + ")");
    }
    return ledger;
}

Result<Ledger> Ledger::open(const Root& root) {
    const auto directory = root / layout::ledger_directory;
    Ledger ledger{directory, std::make_shared<DirectoryStore>(directory)};
    if (auto made = ensure_directory(ledger.directory_, {.mode = 0700}); !made)
        return context(made.error(), "opening the ledger");
    std::error_code failure;
    for (const auto& file : std::filesystem::directory_iterator{ledger.directory_, failure})
        if (file.path().filename().string().starts_with('.'))
            std::remove(file.path().c_str()); // a write that a crash cut short
    if (auto loaded = ledger.load_all(Unreadable::set_aside); !loaded)
        return loaded.error();
    return ledger;
}

Result<Ledger> Ledger::look(const Root& root) {
    const auto directory = root / layout::ledger_directory;
    Ledger ledger{directory, std::make_shared<DirectoryStore>(directory)};
    if (auto loaded = ledger.load_all(Unreadable::only_told); !loaded)
        return loaded.error();
    return ledger;
}

Result<void> Ledger::load_all(Unreadable unreadable) {
    std::error_code failure;
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::directory_iterator{directory_, failure})
        if (file.path().extension() == ".json" && !file.path().filename().string().starts_with('.'))
            files.push_back(file.path());
    if (failure && failure != std::errc::no_such_file_or_directory)
        return system_error("reading the ledger", failure.value());
    std::sort(files.begin(), files.end());
    for (const auto& file : files)
        load(file, unreadable);
    return {};
}

void Ledger::load(const std::filesystem::path& file, Unreadable unreadable) {
    const auto content = read_file(file, size_limit, Writers::ourselves);
    const auto entry = content ? parse(content->value_or("")) : content.error();
    if (entry)
        entries_[file.stem().string()] = *entry;
    else if (unreadable == Unreadable::set_aside)
        set_aside(file, entry.error().message);
    else
        notes_.push_back("the ledger's " + file.filename().string() + " cannot be used (" +
                         entry.error().message + "); the next run sets it aside");
}

void Ledger::set_aside(const std::filesystem::path& file, const std::string& why) {
    std::filesystem::path aside;
    for (unsigned n = 1; n <= kept_aside; ++n) {
        aside = file.string() + ".set-aside-" + std::to_string(n);
        if (!std::filesystem::exists(aside))
            break;
    }
    std::error_code failure;
    std::filesystem::rename(file, aside, failure);
    notes_.push_back("the ledger's " + file.filename().string() + " was set aside (" + why +
                     "); what it stood for is checked again");
}

const LedgerEntry* Ledger::find(const std::string& id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : &found->second;
}

Result<void> Ledger::record(const std::string& id, LedgerEntry entry) {
    const auto found = entries_.find(id);
    if (found != entries_.end() && found->second == entry)
        return {};
    if (auto written = store_->write(id, write(entry)); !written)
        return context(written.error(), "recording " + id + " in the ledger");
    entries_[id] = std::move(entry);
    return {};
}

} // namespace agent
