// What the engine itself costs, for tests/bench/engine.py: a run on which every step is satisfied,
// by the number of steps. Prints one line of JSON a size. Its world is as real as cost asks: the
// ledger is a directory of files, the clock the machine's; check() looks at one file with stat.
#include "agent/graph/engine.hpp"
#include "agent/host/process.hpp"
#include "agent/host/system_clock.hpp"
#include "tests/support/result_value.hpp"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace {

using namespace agent;
using Microseconds = std::chrono::duration<double, std::micro>;

class FileIsThere : public Guarantee {
public:
    explicit FileIsThere(std::filesystem::path path) : path_{std::move(path)} {}
    [[nodiscard]] std::string fingerprint() const override { return "1"; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext&) override {
        struct stat status{};
        if (::stat(path_.c_str(), &status) != 0)
            co_return StepCheck::due("not there");
        co_return StepCheck::yes();
    }
    boost::asio::awaitable<Result<void>> apply(StepContext&) override {
        co_return permanent("nothing to be made here");
    }

private:
    std::filesystem::path path_;
};

struct Cost {
    Microseconds run{0};
    Microseconds check{0};
};

std::vector<Step> steps_on(const std::filesystem::path& file, unsigned count) {
    std::mt19937 chance{count};
    std::vector<Step> steps;
    for (unsigned i = 0; i < count; ++i) {
        StepTraits traits;
        traits.id = "step" + std::to_string(i);
        for (unsigned need = 0; i > 0 && need < 3; ++need) {
            auto other = "step" + std::to_string(chance() % i);
            if (std::find(traits.needs.begin(), traits.needs.end(), other) == traits.needs.end())
                traits.needs.push_back(std::move(other));
        }
        steps.push_back({std::move(traits), std::make_unique<FileIsThere>(file)});
    }
    return steps;
}

// Of one run of `count` steps; nothing but the first one writes.
Cost converge(const Root& root, const std::filesystem::path& file, unsigned count) {
    boost::asio::io_context io{1};
    const std::stop_source stop;
    ProcessCommandRunner commands{io, stop.get_token()};
    SystemClock clock{io, stop.get_token()};
    auto ledger = Ledger::open(root).value();
    auto steps = steps_on(file, count);

    const auto begin = std::chrono::steady_clock::now();
    Engine engine{{io,
                   commands,
                   clock,
                   ledger,
                   "1",
                   [](const StepProgress&) {},
                   [](std::string_view, std::string_view) {}},
                  std::move(steps)};
    boost::asio::co_spawn(io, engine.converge(), [](const std::exception_ptr&, const auto&) {});
    io.run();
    const auto end = std::chrono::steady_clock::now();
    for (const auto& step : engine.progress())
        if (step.state != StepState::satisfied) {
            std::cerr << step.id << " is " << name_of(step.state) << "\n";
            std::exit(1);
        }

    for (unsigned i = 0; i < count; ++i) {
        struct stat status{};
        if (::stat(file.c_str(), &status) != 0)
            std::exit(1);
    }
    return {end - begin, std::chrono::steady_clock::now() - end};
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::cerr << "usage: engine_bench DIRECTORY STEPS…\n";
        return 64;
    }
    const std::filesystem::path directory = argv[1];
    const auto file = directory / "file";
    for (int i = 2; i < argc; ++i) {
        const auto count = static_cast<unsigned>(std::stoul(argv[i]));
        const auto base = directory / argv[i];
        std::filesystem::create_directories(base);
        std::filesystem::permissions(base, std::filesystem::perms::owner_all);
        const Root root{base};
        if (!std::filesystem::exists(file) && !durable_write(file, ""))
            return 1;
        converge(root, file, count);
        Cost least = converge(root, file, count);
        for (int again = 0; again < 4; ++again) {
            const Cost cost = converge(root, file, count);
            least.run = std::min(least.run, cost.run);
            least.check = std::min(least.check, cost.check);
        }
        std::cout << "{\"steps\": " << count << ", \"run_us\": " << least.run.count()
                  << ", \"check_us\": " << least.check.count() << "}" << std::endl;
    }
    return 0;
}
