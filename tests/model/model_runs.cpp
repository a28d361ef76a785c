// Runs the model of tests/model/model.hpp until it has made so many runs; says the seed of one that
// broke a rule.
#include "tests/model/model.hpp"

#include <iostream>
#include <string>

int main(int argc, char** argv) {
    if (argc < 2) {
        std::cerr << "usage: model_runs RUNS [SEED]\n";
        return 64;
    }
    const unsigned long wanted = std::stoul(argv[1]);
    std::uint32_t seed = argc > 2 ? static_cast<std::uint32_t>(std::stoul(argv[2])) : 1;
    const std::uint32_t first = seed;
    unsigned long runs = 0;
    for (; runs < wanted; ++seed) {
        const auto outcome = agent::test::run_model(seed);
        runs += outcome.runs;
        if (!outcome.broken.empty()) {
            std::cerr << "model: seed " << seed << ": " << outcome.broken << "\n";
            return 1;
        }
    }
    std::cout << "model: " << runs << " runs of " << seed - first
              << " machines, every rule held in each; first seed " << first << "\n";
    return 0;
}
