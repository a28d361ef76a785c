// Owns what is known since the build: the version that `agent --version` and `bootstrap --version`
// print.
#pragma once

namespace agent {

[[nodiscard]] const char* version();
// The year it was built in: a clock before that is wrong.
[[nodiscard]] int build_year();

} // namespace agent
