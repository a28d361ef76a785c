#include "agent/steps/apt_names.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace agent {
namespace {

struct Renamed {
    std::string_view old;
    std::string_view now; // what stands for it, separated by blanks
};
// The old ones were real packages, at the end empty ones that needed just the new ones.
constexpr std::array renamed_packages{
    Renamed{"dnsutils", "bind9-dnsutils"},
    Renamed{"libav-tools", "ffmpeg"},
    Renamed{"libegl1-mesa", "libegl1"},
    Renamed{"libfreetype6-dev", "libfreetype-dev"},
    Renamed{"libgdk-pixbuf2.0-0", "libgdk-pixbuf-2.0-0"},
    Renamed{"libgl1-mesa-glx", "libgl1 libgl1-mesa-dri"},
    Renamed{"libgles2-mesa", "libgles2"},
    Renamed{"libjpeg8-dev", "libjpeg-dev"},
    Renamed{"libmysqlclient-dev", "default-libmysqlclient-dev"},
    Renamed{"libncurses5-dev", "libncurses-dev"},
    Renamed{"libncursesw5-dev", "libncurses-dev"},
    Renamed{"libpng12-dev", "libpng-dev"},
    Renamed{"libreadline6-dev", "libreadline-dev"},
    Renamed{"libwayland-egl1-mesa", "libwayland-egl1"},
    Renamed{"mysql-client", "default-mysql-client"},
    Renamed{"mysql-server", "default-mysql-server"},
    Renamed{"netcat", "netcat-traditional"},
    Renamed{"nodejs-legacy", "nodejs"},
    Renamed{"policykit-1", "polkitd pkexec"},
    Renamed{"ttf-dejavu", "fonts-dejavu"},
    Renamed{"ttf-freefont", "fonts-freefont-ttf"},
    Renamed{"ttf-liberation", "fonts-liberation"},
};

bool is_pinned(const std::string& package) {
    return package.find('=') != std::string::npos;
}

bool all_in(const std::vector<std::string>& names, const std::set<std::string>& there) {
    return std::all_of(
        names.begin(), names.end(), [&](const std::string& name) { return there.contains(name); });
}

} // namespace

std::vector<std::vector<std::string>> newer_names(const std::string& name) {
    std::vector<std::vector<std::string>> newer;
    for (const auto& entry : renamed_packages)
        if (entry.old == name)
            newer.push_back(split(entry.now, ' '));
    // Of libraries alone, and not of what is for building with them.
    const bool has_number =
        !name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0;
    if (name.starts_with("lib") && has_number)
        newer.push_back({name + "t64"});
    return newer;
}

std::vector<std::string> names_to_ask(const std::vector<std::string>& packages) {
    std::vector<std::string> names;
    for (const auto& package : packages) {
        const std::string name = package.substr(0, package.find('='));
        const auto newer = newer_names(name);
        if (newer.empty())
            continue;
        names.push_back(name);
        for (const auto& together : newer)
            names.insert(names.end(), together.begin(), together.end());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

std::set<std::string> installable_names(std::string_view policy) {
    std::set<std::string> names;
    std::string name;
    for (const auto& line : split(policy, '\n')) {
        if (!line.starts_with(' ') && line.ends_with(':'))
            name = line.substr(0, line.find(':')); // "libgl1:", "libgl1:amd64:"
        const std::string_view text = trim(line);
        constexpr std::string_view candidate = "Candidate: ";
        if (text.starts_with(candidate) && text.substr(candidate.size()) != "(none)")
            names.insert(name);
    }
    return names;
}

ReleaseNames release_names(const std::vector<std::string>& packages,
                           const std::set<std::string>& installable) {
    ReleaseNames names;
    for (const auto& package : packages) {
        const std::string name = package.substr(0, package.find('='));
        std::vector<std::string> taken;
        if (!installable.contains(name))
            for (const auto& together : newer_names(name))
                if (taken.empty() && all_in(together, installable))
                    taken = together;
        if (taken.empty() || is_pinned(package)) {
            names.packages.push_back(package);
            if (!taken.empty())
                names.pinned.push_back(package + " is " + join(taken, " and ") +
                                       " in this release, and a pin keeps its name");
            continue;
        }
        names.renamed.push_back(name + " as " + join(taken, " and "));
        names.packages.insert(names.packages.end(), taken.begin(), taken.end());
    }
    std::sort(names.packages.begin(), names.packages.end());
    names.packages.erase(std::unique(names.packages.begin(), names.packages.end()),
                         names.packages.end());
    return names;
}

std::string newer_name_in(const std::string& name, const std::set<std::string>& installed) {
    for (const auto& together : newer_names(name))
        if (all_in(together, installed))
            return join(together, " and ");
    return {};
}

} // namespace agent
