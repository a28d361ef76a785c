#include "agent/steps/sequence.hpp"

#include "agent/base/text.hpp"

#include <string>
#include <utility>

namespace agent {
namespace {

// What a part is told: all but the inputs of the other parts.
class PartContext final : public StepContext {
public:
    PartContext(StepContext& whole, std::size_t part, std::size_t parts)
        : whole_{whole}, part_{part}, parts_{parts} {}

    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        return whole_.run(std::move(command));
    }
    void log(std::string_view line) override { whole_.log(line); }
    void progress(std::string_view phrase) override { whole_.progress(phrase); }
    void held_up(std::string_view phrase) override { whole_.held_up(phrase); }
    [[nodiscard]] std::optional<std::string> last_fingerprint() const override {
        const auto last = whole_.last_fingerprint();
        if (!last)
            return std::nullopt;
        const auto all = split(*last, '\n');
        return all.size() == parts_ ? std::optional{all[part_]} : std::nullopt;
    }
    [[nodiscard]] bool on_new_instance() const override { return whole_.on_new_instance(); }
    [[nodiscard]] bool asked_for() const override { return whole_.asked_for(); }

private:
    StepContext& whole_;
    std::size_t part_;
    std::size_t parts_;
};

} // namespace

std::string Sequence::fingerprint() const {
    std::vector<std::string> all;
    for (const auto& part : parts_)
        all.push_back(part->fingerprint());
    return join(all, "\n");
}

boost::asio::awaitable<Result<StepCheck>> Sequence::check(StepContext& context) {
    std::vector<std::string> found;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        PartContext part{context, i, parts_.size()};
        auto checked = co_await parts_[i]->check(part);
        if (!checked || !checked->satisfied)
            co_return checked;
        if (!checked->reason.empty())
            found.push_back(std::move(checked->reason));
    }
    co_return StepCheck::yes(join(found, "; "));
}

boost::asio::awaitable<Result<void>> Sequence::apply(StepContext& context) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        PartContext part{context, i, parts_.size()};
        auto checked = co_await parts_[i]->check(part);
        if (!checked)
            co_return checked.error();
        if (checked->satisfied)
            continue;
        auto applied = co_await parts_[i]->apply(part);
        if (!applied)
            co_return applied;
    }
    co_return Result<void>{};
}

} // namespace agent
