// Owns the worker that looks at a Python environment: runs as its user, reads names, executes
// nothing.
#pragma once

#include <filesystem>
#include <ostream>

namespace agent {

// One JSON line: {"exists":…, "python":"3.11.2", "packages":{"pip":"23.0.1",…}, "venv":…,
// "has_conda":…, "conda":{"numpy":"1.26.4",…},
// "kernels":{"old":"/opt/jupyter-envs/old/bin/python",…}}. Exit 0 also when there is nothing.
int environment_worker(const std::filesystem::path& prefix, std::ostream& out);

} // namespace agent
