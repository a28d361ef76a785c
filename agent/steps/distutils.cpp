#include "agent/steps/distutils.hpp"

#include "agent/base/text.hpp"
#include "agent/steps/environment.hpp"

#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

// Runs on every Python from 3.6 on. A record of conda's names the package's files; distutils's own
// metadata is one file without such a list.
constexpr const char* program = R"(
import glob, json, os, re, sys, sysconfig

wanted = sys.argv[1]

def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()

def under(path, place):
    return os.path.realpath(path).startswith(os.path.realpath(place) + os.sep)

places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
found = [
    path
    for place in places
    for path in glob.glob(os.path.join(place, "*.egg-info"))
    if os.path.isfile(path) and plain(os.path.basename(path).split("-")[0]) == wanted
]
if not found:
    sys.exit("no metadata of distutils for " + wanted)
moved = []
for metadata in found:
    place = os.path.dirname(metadata)
    name, version = (os.path.basename(metadata)[: -len(".egg-info")].split("-") + [""])[:2]
    mine = [metadata]
    for record in glob.glob(os.path.join(sys.prefix, "conda-meta", "*.json")):
        with open(record, encoding="utf-8") as stream:
            files = [os.path.join(sys.prefix, one) for one in json.load(stream).get("files", [])]
        if any(os.path.realpath(one) == os.path.realpath(metadata) for one in files):
            mine += [one for one in files if under(one, place) and one != metadata]
            break
    else:
        for module in {name, name.replace("-", "_"), plain(name).replace("-", "_")}:
            mine += [os.path.join(place, module + end) for end in ("", ".py")]
    aside = os.path.join(sys.prefix, ".replaced", name + "-" + version)
    for path in mine:
        if not os.path.lexists(path) or not under(path, place):
            continue
        target = os.path.join(aside, os.path.relpath(path, place))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.lexists(target):
            os.rename(target, target + ".%d" % os.getpid())
        os.rename(path, target)
    moved.append((name + " " + version).strip())
print(", ".join(moved))
)";

std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
    const auto at = text.find(before);
    if (at == std::string_view::npos)
        return {};
    const auto rest = text.substr(at + before.size());
    const auto end = rest.find(after);
    return end == std::string_view::npos ? std::string_view{} : rest.substr(0, end);
}

} // namespace

std::optional<std::string> distutils_package_in(std::string_view installer_output) {
    if (installer_output.find("distutils") == std::string_view::npos)
        return std::nullopt;
    // uv: Unable to uninstall `pyyaml==5.1.2`. distutils-installed distributions do not …
    auto package = between(installer_output, "Unable to uninstall `", "`");
    // pip until 23.0: Cannot uninstall 'PyYAML'. It is a distutils installed project
    if (package.empty())
        package = between(installer_output, "Cannot uninstall '", "'");
    // pip since: Cannot uninstall PyYAML 5.1.2
    if (package.empty())
        package = between(installer_output, "Cannot uninstall ", " ");
    const std::string name = required_name(package);
    return name.empty() ? std::nullopt : std::optional{name};
}

boost::asio::awaitable<Result<std::string>> set_distutils_package_aside(
    StepContext& context, Account user, std::filesystem::path prefix, std::string package) {
    Command command;
    command.argv = {(prefix / "bin/python").string(), "-I", "-c", program, package};
    command.as = std::move(user);
    command.deadline = 2min;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto moved = require_success(std::move(*outcome));
    if (!moved)
        co_return agent::context(moved.error(),
                                 "setting " + package + " aside, which distutils installed");
    co_return printable(trim(moved->output), 100);
}

} // namespace agent
