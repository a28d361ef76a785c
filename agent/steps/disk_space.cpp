#include "agent/steps/disk_space.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/apt.hpp"
#include "agent/steps/environment.hpp"

#include <algorithm>
#include <map>

namespace agent {
namespace {

constexpr std::uint64_t megabyte = 1'000'000;
constexpr std::uint64_t gigabyte = 1000 * megabyte;

struct Estimate {
    Room least;
    Room usual;
};

// Measured on Debian 12 with Python 3.11: `du` and `find` of a venv before and after uv's install,
// its cache hard-linked.
constexpr Estimate bare_environment{{25 * megabyte, 1'700}, {25 * megabyte, 1'700}};
constexpr Estimate interface{{170 * megabyte, 13'000}, {210 * megabyte, 16'500}};
constexpr Estimate tensorflow{{1'800 * megabyte, 27'000}, {2'100 * megabyte, 32'000}};
// With NVIDIA's libraries; the least is a build for the CPU alone, which another index may have.
constexpr Estimate torch{{600 * megabyte, 10'000}, {5'300 * megabyte, 22'000}};
// From requests to pandas.
constexpr Estimate python_package{{2 * megabyte, 150}, {110 * megabyte, 4'000}};
// uv's wheel, root's copy of it and what is unpacked.
constexpr Estimate uv{{100 * megabyte, 20}, {120 * megabyte, 20}};
// bookworm, its updates and its security updates.
constexpr Estimate apt_lists{{60 * megabyte, 20}, {100 * megabyte, 50}};
// From tree to ffmpeg, without what they recommend; with the archives they come from.
constexpr Estimate debian_package{{1 * megabyte, 10}, {300 * megabyte, 1'500}};

const Estimate& estimate_for(const std::string& name) {
    static const std::map<std::string, Estimate> known{{"jupyterlab", interface},
                                                       {"notebook", interface},
                                                       {"tensorflow", tensorflow},
                                                       {"torch", torch}};
    const auto found = known.find(name);
    return found == known.end() ? python_package : found->second;
}

void add(Room& sum, const Room& part, std::uint64_t times = 1) {
    sum.bytes += part.bytes * times;
    sum.inodes += part.inodes * times;
}

void add(SpaceDemand& demand, const Estimate& estimate, std::uint64_t times = 1) {
    add(demand.least, estimate.least, times);
    add(demand.usual, estimate.usual, times);
}

std::string counted(std::size_t count, const std::string& what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string readable(std::uint64_t bytes) {
    if (bytes < gigabyte)
        return std::to_string(bytes / megabyte) + " MB";
    return std::to_string(bytes / gigabyte) + "." +
           std::to_string(bytes % gigabyte / (gigabyte / 10)) + " GB";
}

std::string remedy(std::uint64_t missing, const FileSystem& file_system, const BootDisk* disk) {
    if (!disk)
        return "make the disk there larger, or free space on it, or name another place in the "
               "configuration";
    constexpr std::uint64_t step = 10 * gigabyte;
    const std::uint64_t size = (file_system.bytes + missing + step - 1) / step * 10;
    const bool known = !disk->name.empty() && !disk->zone.empty();
    return "free space, or make the boot disk larger: `gcloud compute disks resize " +
           (known ? disk->name : "DISK") + " --zone=" + (known ? disk->zone : "ZONE") +
           " --size=" + std::to_string(size) +
           "GB`, then restart the VM: GCE's images grow partition and file system as they boot";
}

} // namespace

SpaceDemand python_demand(const std::filesystem::path& prefix,
                          const std::vector<std::string>& requirements) {
    SpaceDemand demand{prefix, Payer::user, {}, {}, counted(requirements.size(), "Python package")};
    for (const auto& requirement : requirements)
        add(demand, estimate_for(required_name(requirement)));
    return demand;
}

Result<std::string> judge_space(const std::vector<SpaceDemand>& demands,
                                const FileSystem& file_system,
                                const BootDisk* boot_disk) {
    Room least;
    Room usual;
    bool of_users = false;
    std::vector<std::string> what;
    for (const auto& demand : demands) {
        add(least, demand.least);
        add(usual, demand.usual);
        of_users = of_users || demand.payer == Payer::user;
        if (std::find(what.begin(), what.end(), demand.what) == what.end())
            what.push_back(demand.what);
    }
    const std::string where = demands.front().where.string();
    const std::uint64_t free = of_users ? file_system.free_bytes_of_users : file_system.free_bytes;
    std::string found = readable(free) + " of " + readable(file_system.bytes) +
                        (of_users ? " are free to users" : " are free") + " at " + where;
    const auto missing = usual.bytes > free ? usual.bytes - free : 0;
    if (least.bytes > free)
        return permanent("the disk is too small: " + found + ", at least " + readable(least.bytes) +
                             " and usually " + readable(usual.bytes) + " are needed there for " +
                             join(what, ", "),
                         remedy(missing, file_system, boot_disk));
    if (file_system.inodes > 0 && least.inodes > file_system.free_inodes)
        return permanent(
            "the disk has no room for so many files: " + std::to_string(file_system.free_inodes) +
                " of " + std::to_string(file_system.inodes) + " inodes are free at " + where +
                ", at least " + std::to_string(least.inodes) + " are needed there for " +
                join(what, ", "),
            remedy(missing, file_system, boot_disk));
    if (missing > 0)
        return "tight: " + found + ", usually " + readable(usual.bytes) + " are needed";
    return found;
}

std::string DiskSpace::fingerprint() const {
    return sha256_hex(wish_.user + "\n" + wish_.prefix.string() + "\n" +
                      join(wish_.debian_packages, " ") + "\n" + join(wish_.requirements, "\n"));
}

DiskSpace::Missing DiskSpace::everything() const {
    return {wish_.debian_packages.size(), !wish_.prefix.empty(), wish_.requirements};
}

boost::asio::awaitable<Result<DiskSpace::Missing>>
DiskSpace::missing(StepContext& context, std::optional<Account> user) const {
    Missing missing;
    if (!wish_.debian_packages.empty()) {
        const auto absent = co_await absent_packages(context, wish_.debian_packages);
        if (!absent)
            co_return absent.error();
        missing.debian_packages = absent->size();
    }
    if (wish_.prefix.empty())
        co_return missing;
    Environment environment;
    if (user) {
        auto looked = co_await look_at_environment(context, *user, wish_.prefix);
        if (!looked)
            co_return looked.error();
        environment = std::move(*looked);
    }
    missing.environment = !environment.exists;
    missing.requirements = unmet(wish_.requirements, environment);
    co_return missing;
}

std::vector<SpaceDemand> DiskSpace::demands(const Missing& missing,
                                            const std::optional<Account>& user) const {
    std::vector<SpaceDemand> demands;
    if (missing.debian_packages > 0) {
        const std::string what = counted(missing.debian_packages, "Debian package");
        SpaceDemand lists{"/var/lib/apt/lists", Payer::root, {}, {}, what};
        add(lists, apt_lists);
        SpaceDemand packages{"/usr", Payer::root, {}, {}, what};
        add(packages, debian_package, missing.debian_packages);
        demands.push_back(std::move(packages));
        demands.push_back(std::move(lists));
    }
    if (!missing.environment && missing.requirements.empty())
        return demands;
    SpaceDemand python = python_demand(wish_.prefix, missing.requirements);
    SpaceDemand tools{layout::tools, Payer::root, {}, {}, "uv"};
    add(tools, uv);
    if (missing.environment) {
        add(python, bare_environment);
        demands.push_back(std::move(tools));
    }
    // Beside the environment the installer's cache shares its blocks; elsewhere it is a copy.
    const auto prefix = look_(ports_.root / wish_.prefix.string());
    // Not the home itself is looked at: what is mounted there may hang.
    const auto cache = user ? user->home.parent_path() : std::filesystem::path{"/home"};
    const auto home = look_(ports_.root / cache.string());
    if (prefix && home && prefix->id != home->id) {
        SpaceDemand copy = python;
        copy.where = cache;
        demands.push_back(std::move(copy));
    }
    demands.push_back(std::move(python));
    return demands;
}

Result<std::vector<DiskSpace::Share>>
DiskSpace::shares(const std::vector<SpaceDemand>& demands) const {
    std::vector<Share> shares;
    for (const auto& demand : demands) {
        const auto found = look_(ports_.root / demand.where.string());
        if (!found)
            return found.error();
        const auto share = std::find_if(shares.begin(), shares.end(), [&](const Share& one) {
            return one.file_system.id == found->id;
        });
        if (share == shares.end())
            shares.push_back({*found, {demand}});
        else
            share->demands.push_back(demand);
    }
    return shares;
}

Result<std::string> DiskSpace::compare(const std::vector<SpaceDemand>& demands) const {
    if (demands.empty())
        return std::string{"nothing is to be fetched"};
    const auto boot = look_(ports_.root / "/");
    if (!boot)
        return boot.error();
    const auto shared = shares(demands);
    if (!shared)
        return shared.error();
    std::vector<std::string> found;
    for (const auto& share : *shared) {
        auto judged = judge_space(share.demands,
                                  share.file_system,
                                  share.file_system.id == boot->id ? &wish_.boot_disk : nullptr);
        if (!judged)
            return judged.error();
        found.push_back(std::move(*judged));
    }
    return join(found, "; ");
}

bool DiskSpace::has_ample_room(const std::vector<SpaceDemand>& demands) const {
    const auto shared = shares(demands);
    return shared && std::all_of(shared->begin(), shared->end(), [](const Share& share) {
               Room usual;
               for (const auto& demand : share.demands)
                   add(usual, demand.usual);
               const FileSystem& there = share.file_system;
               return usual.bytes <= there.free_bytes_of_users &&
                      (there.inodes == 0 || usual.inodes <= there.free_inodes);
           });
}

boost::asio::awaitable<Result<StepCheck>> DiskSpace::check(StepContext& context) {
    auto user = co_await ports_.accounts.find(wish_.user);
    if (!user)
        co_return user.error();
    // Room for everything is room for what is missing: nobody need be asked what that is.
    auto needed = demands(everything(), *user);
    if (!has_ample_room(needed)) {
        const auto found = co_await missing(context, *user);
        if (!found)
            co_return found.error();
        needed = demands(*found, *user);
    }
    auto compared = compare(needed);
    if (!compared)
        co_return StepCheck::due(compared.error().message);
    co_return StepCheck::yes(std::move(*compared));
}

// There is nothing of ours to throw away; what a person frees is seen by the next try.
boost::asio::awaitable<Result<void>> DiskSpace::apply(StepContext& context) {
    auto user = co_await ports_.accounts.find(wish_.user);
    if (!user)
        co_return user.error();
    const auto found = co_await missing(context, *user);
    if (!found)
        co_return found.error();
    const auto compared = compare(demands(*found, *user));
    if (!compared)
        co_return compared.error();
    co_return Result<void>{};
}

} // namespace agent
