// Owns who may be connected to the front at once, in all and from one network; pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace agent {

// What becomes of one more from a network that has its share already.
enum class ShareTaken { refuse, push_out_its_oldest };

// When all places are taken, the network that has most of them loses its oldest. So whoever takes
// many places makes room with his own, and who has few keeps them.
class Places {
public:
    using Number = std::uint64_t;

    Places(std::size_t total, std::size_t share, ShareTaken when_taken)
        : total_{total}, share_{share}, when_taken_{when_taken} {}

    struct Admission {
        bool admitted = false;
        std::optional<Number> pushed_out; // has no place any more
    };
    // Gives `number`, which was never used before, a place until release().
    [[nodiscard]] Admission admit(Number number, const std::string& network);
    // Nothing for one that has no place.
    void release(Number number, const std::string& network);
    [[nodiscard]] std::size_t taken() const { return taken_; }

private:
    using Networks = std::map<std::string, std::deque<Number>>; // oldest first, none empty
    Number take_oldest(Networks::iterator network);

    std::size_t total_;
    std::size_t share_;
    ShareTaken when_taken_;
    std::size_t taken_ = 0;
    Networks networks_;
};

} // namespace agent
