// Owns what was done: one small durable file a step, /var/lib/agent/ledger/ID.json.
// Reality is the truth, the ledger a hint: it gives the fingerprint of the last success, the
// attempts (written before apply) and the last error. What cannot be read is set aside, never
// overwritten.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

struct LedgerEntry {
    std::string fingerprint; // of the last success; empty: none
    std::string instance_id; // of the last success; empty: was not known
    unsigned attempts = 0;   // since the last success
    std::string outcome;     // "started", "done", "failed", "interrupted"
    std::string error;
    friend bool operator==(const LedgerEntry&, const LedgerEntry&) = default;
};

class Ledger {
public:
    static constexpr int version = 1;

    // Reads every entry. A corrupt, truncated or newer file is renamed to ID.json.set-aside-N and
    // told in `notes`; its step counts as never done.
    [[nodiscard]] static Result<Ledger> open(const Root& root);

    // As open(), but changes nothing: what open() would rename is only told.
    [[nodiscard]] static Result<Ledger> look(const Root& root);

    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
    [[nodiscard]] const LedgerEntry* find(const std::string& id) const;

    // Writes only what differs from what is there; durable once it has returned.
    [[nodiscard]] Result<void> record(const std::string& id, LedgerEntry entry);

private:
    explicit Ledger(std::filesystem::path directory) : directory_{std::move(directory)} {}
    enum class Unreadable { set_aside, only_told };
    Result<void> load_all(Unreadable unreadable);
    void load(const std::filesystem::path& file, Unreadable unreadable);
    void set_aside(const std::filesystem::path& file, const std::string& why);

    std::filesystem::path directory_;
    std::map<std::string, LedgerEntry> entries_;
    std::vector<std::string> notes_;
};

} // namespace agent
