// Owns reading the steps' logs: what report/step_log.hpp has written, also while it goes on
// writing and replaces files. Their lines come cleaned, each with its step and its time.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/base/unique_fd.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace agent {

struct StepLogLine {
    std::string step;
    std::string time; // "2024-05-01T12:00:00Z"; of a line without one that of the line before it
    std::string text;
};

class StepLogReader {
public:
    // Empty `step`: of all steps, also of those whose log comes later.
    StepLogReader(const Root& root, std::string step);

    // The lines that were written since the last call, of all steps in the order of their times. At
    // the first call: all there are, those of the replaced file first. An Error when the logs may
    // not be read; none are no Error.
    [[nodiscard]] Result<std::vector<StepLogLine>> next();

    // The steps that have a log, in order.
    [[nodiscard]] static Result<std::vector<std::string>> steps(const Root& root);

private:
    struct Source {
        UniqueFd fd; // none: not opened yet
        ino_t inode = 0;
        std::string begun; // of a line that is not complete yet
        std::string time;
    };
    Result<void> read(const std::string& step, std::vector<StepLogLine>& lines);

    Root root_;
    std::string step_;
    std::map<std::string, Source> sources_;
};

} // namespace agent
