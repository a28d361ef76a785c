#include "tests/support/repository.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace agent::test {

std::filesystem::path repository() {
    return AGENT_REPOSITORY;
}

std::string content_of(const std::filesystem::path& file) {
    std::ifstream in{file, std::ios::binary};
    if (!in)
        throw std::runtime_error{"cannot read " + file.string()};
    return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace agent::test
