#include "tests/support/step_world.hpp"

#include "tests/support/run_coroutine.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include <sys/stat.h>

namespace agent::test {

StepWorld::StepWorld() = default;
StepWorld::~StepWorld() = default;

Result<StepCheck> StepWorld::check(Guarantee& guarantee) {
    boost::asio::io_context io;
    return run_coroutine(io, guarantee.check(context));
}

Result<void> StepWorld::apply(Guarantee& guarantee) {
    boost::asio::io_context io;
    return run_coroutine(io, guarantee.apply(context));
}

void StepWorld::put(std::string_view path, std::string_view content) const {
    const auto file = root() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream{file, std::ios::binary} << content;
}

std::string StepWorld::content(std::string_view path) const {
    std::ifstream file{root() / path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

bool StepWorld::has(std::string_view path) const {
    return std::filesystem::exists(std::filesystem::symlink_status(root() / path));
}

mode_t StepWorld::mode(std::string_view path) const {
    struct stat status{};
    if (::lstat((root() / path).c_str(), &status) != 0)
        throw std::runtime_error{std::string{path} + " is not there"};
    return status.st_mode & 07777U;
}

} // namespace agent::test
