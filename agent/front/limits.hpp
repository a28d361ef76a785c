// Owns how many sessions the front has at once, in all and from one network; pure.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace agent {

class SessionLimits {
public:
    explicit SessionLimits(std::size_t total = 256, std::size_t each = 64)
        : total_{total}, each_{each} {}

    // Whether one more session from `network` may begin; if so it counts until release().
    [[nodiscard]] bool admit(const std::string& network);
    void release(const std::string& network);
    [[nodiscard]] std::size_t sessions() const { return sessions_; }

private:
    std::size_t total_;
    std::size_t each_;
    std::size_t sessions_ = 0;
    std::map<std::string, std::size_t> by_network_; // no zeros: does not grow with who once came
};

} // namespace agent
