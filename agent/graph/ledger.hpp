// Owns what was done: one small durable file a step, /var/lib/agent/ledger/ID.json.
// Reality is the truth, the ledger a hint: it gives the fingerprint of the last success, the
// attempts (written before apply) and the last error. What cannot be read is set aside, never
// overwritten.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace agent {

struct LedgerEntry {
    std::string fingerprint; // of the last success; empty: none
    std::string instance_id; // of the last success; empty: was not known
    unsigned attempts = 0;   // since the last success
    std::string outcome;     // "started", "done", "failed", "interrupted", "waiting"
    std::string error;
    friend bool operator==(const LedgerEntry&, const LedgerEntry&) = default;
};

// Where entries lie.
class LedgerStore {
public:
    virtual ~LedgerStore() = default;
    // Durable once it has returned; after an Error what was there is there.
    [[nodiscard]] virtual Result<void> write(const std::string& id, const std::string& content) = 0;
};

class Ledger {
public:
    static constexpr int version = 1;

    // Reads every entry. A corrupt, truncated or newer file, and one that others than its owner's
    // user may have written, is renamed to ID.json.set-aside-N and told in `notes`; its step counts
    // as never done.
    [[nodiscard]] static Result<Ledger> open(const Root& root);

    // As open(), but changes nothing: what open() would rename is only told.
    [[nodiscard]] static Result<Ledger> look(const Root& root);

    // On another store than the machine's own; `contents` is what lies there, by id.
    [[nodiscard]] static Ledger over(std::shared_ptr<LedgerStore> store,
                                     const std::map<std::string, std::string>& contents);

    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
    [[nodiscard]] const LedgerEntry* find(const std::string& id) const;

    // Writes only what differs from what is there; durable once it has returned.
    [[nodiscard]] Result<void> record(const std::string& id, LedgerEntry entry);

private:
    Ledger(std::filesystem::path directory, std::shared_ptr<LedgerStore> store)
        : directory_{std::move(directory)}, store_{std::move(store)} {}
    enum class Unreadable { set_aside, only_told };
    Result<void> load_all(Unreadable unreadable);
    void load(const std::filesystem::path& file, Unreadable unreadable);
    void set_aside(const std::filesystem::path& file, const std::string& why);

    std::filesystem::path directory_;
    std::shared_ptr<LedgerStore> store_;
    std::map<std::string, LedgerEntry> entries_;
    std::vector<std::string> notes_;
};

} // namespace agent
