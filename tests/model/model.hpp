// A model of a machine that fails in every way that a step, the disk, a person and the power can.
// The real engine, plan and ledger run on it, boot after boot, with faults and then without, and
// are held to the rules at each point:
//   R1  each run ends with every step satisfied, applied, failed or blocked
//   R2  within its limit
//   R3  once nothing fails any more it converges, and the run after that does nothing
//   R5  whatever failed or is blocked says why
//   R7  done is recorded only for what is there; an attempt is recorded before anything is changed
//   R8  a clock on the wall that jumps changes nothing
// and nothing is made that is there already, or before what it needs.
#pragma once

#include <cstdint>
#include <string>

namespace agent::test {

struct ModelOutcome {
    unsigned runs = 0;  // convergings
    std::string broken; // the first rule that did not hold; empty: all did
};

// One machine, all of whose chances come from the seed.
[[nodiscard]] ModelOutcome run_model(std::uint32_t seed);

} // namespace agent::test
