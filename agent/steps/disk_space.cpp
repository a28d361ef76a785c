#include "agent/steps/disk_space.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/apt.hpp"
#include "agent/steps/conda_spec.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/requirements_file.hpp"

#include <algorithm>

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
// One of a lock file's, whose others are listed with it: the mean is 2 MB of JupyterLab's 93,
// 24 MB of the 18 of pandas, scikit-learn and matplotlib.
constexpr Estimate package_alone{{megabyte / 5, 15}, {25 * megabyte, 700}};
// What Miniforge's and Anaconda's installers take where they have run, as a multiple of their size,
// and files of some kilobytes; beside them, the download and root's copy of it.
constexpr std::uint64_t least_of_installer = 4;
constexpr std::uint64_t usual_of_installer = 6;
constexpr std::uint64_t bytes_of_file = 4'096;
// uv's wheel, root's copy of it and what is unpacked.
constexpr Estimate uv{{100 * megabyte, 20}, {120 * megabyte, 20}};
// bookworm, its updates and its security updates.
constexpr Estimate apt_lists{{60 * megabyte, 20}, {100 * megabyte, 50}};
// From tree to ffmpeg, without what they recommend; with the archives they come from.
constexpr Estimate debian_package{{1 * megabyte, 10}, {300 * megabyte, 1'500}};

const Estimate& estimate_alone(const std::string& name) {
    if (name == "tensorflow")
        return tensorflow;
    return name == "torch" ? torch : package_alone;
}

const Estimate& estimate_for(const std::string& name) {
    if (name == "jupyterlab" || name == "notebook")
        return interface;
    const Estimate& alone = estimate_alone(name);
    return &alone == &package_alone ? python_package : alone;
}

void add(Room& sum, const Room& part, std::uint64_t times = 1) {
    sum.bytes += part.bytes * times;
    sum.inodes += part.inodes * times;
}

void add(SpaceDemand& demand, const Estimate& estimate, std::uint64_t times = 1) {
    add(demand.least, estimate.least, times);
    add(demand.usual, estimate.usual, times);
}

constexpr std::string_view by_pip = "pip";
constexpr std::string_view by_conda = "conda";

std::string fetched_name(std::string_view installer,
                         const DiskSpace::PythonEnvironment& environment,
                         const std::string& what) {
    return std::string{installer} + " " + environment.python + " " + what;
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
    std::string all = wish_.user + "\n" + join(wish_.debian_packages, " ");
    for (const PythonEnvironment& one : wish_.environments)
        all += "\n" + one.prefix.string() + " " + one.python + "\n" + join(one.requirements, "\n") +
               "\n" + one.requirements_file.string() + "\n" + join(one.conda_packages, " ");
    if (wish_.conda_installer)
        all += "\nconda " + std::to_string(*wish_.conda_installer);
    return sha256_hex(all);
}

boost::asio::awaitable<Result<std::vector<DiskSpace::Requirements>>>
DiskSpace::requirements(StepContext& context, std::optional<Account> user) const {
    std::vector<Requirements> asked;
    for (const PythonEnvironment& one : wish_.environments) {
        asked.push_back({one.requirements, {}});
        if (!one.requirements_file.is_absolute())
            continue; // none, or one in a bucket, which is not fetched for an estimate
        // A user who is yet to be made may read what everybody may.
        if (!user) {
            auto nobody = co_await existing_account(ports_.accounts, "nobody");
            if (!nobody)
                co_return nobody.error();
            user = std::move(*nobody);
        }
        // What is wrong with the file is said by the step that installs from it.
        const auto file = co_await look_at_requirements(context, *user, one.requirements_file);
        if (!file)
            continue;
        // An exact version is a lock file's line, or one of `pip freeze`.
        for (const auto& entry : file->entries)
            (entry.requirement.find("==") == std::string::npos ? asked.back().with_others
                                                               : asked.back().alone)
                .push_back(entry.requirement);
    }
    co_return asked;
}

DiskSpace::Missing DiskSpace::everything(const std::vector<Requirements>& asked) const {
    Missing all;
    all.debian_packages = wish_.debian_packages.size();
    for (std::size_t i = 0; i < asked.size(); ++i)
        all.environments.push_back({true, asked[i], wish_.environments[i].conda_packages});
    return all;
}

boost::asio::awaitable<Result<DiskSpace::Missing>> DiskSpace::missing(
    StepContext& context, std::optional<Account> user, std::vector<Requirements> asked) const {
    Missing missing;
    if (!wish_.debian_packages.empty()) {
        const auto absent = co_await absent_packages(context, wish_.debian_packages);
        if (!absent)
            co_return absent.error();
        missing.debian_packages = absent->size();
    }
    for (std::size_t i = 0; i < asked.size(); ++i) {
        const PythonEnvironment& wish = wish_.environments[i];
        Environment environment;
        if (user) {
            auto looked = co_await look_at_environment(context, *user, wish.prefix);
            if (!looked)
                co_return looked.error();
            environment = std::move(*looked);
        }
        const auto lacks = [&](const std::vector<std::string>& all,
                               std::vector<std::string> absent,
                               std::string_view installer) {
            for (const std::string& one : all)
                if (std::find(absent.begin(), absent.end(), one) == absent.end())
                    missing.fetched.insert(fetched_name(installer, wish, one));
            return absent;
        };
        const bool needs_conda = i == 0 && wish_.conda_installer;
        missing.environments.push_back(
            {!environment.exists || (needs_conda && !environment.has_conda),
             {lacks(asked[i].with_others, unmet(asked[i].with_others, environment), by_pip),
              lacks(asked[i].alone, unmet(asked[i].alone, environment), by_pip)},
             lacks(wish.conda_packages,
                   unmet_conda_specs(wish.conda_packages, environment.conda),
                   by_conda)});
    }
    co_return missing;
}

// One file of a wheel's or a package's lies in the installer's cache and, as a hard link, in each
// environment that has it: it takes room once, as long as they are on one file system and the same
// is asked for a Python of the same version. On another one each environment has a copy of its own.
// Conda's cache lies in its prefix, the user's is in his home.
SpaceDemand DiskSpace::into(const PythonEnvironment& wish,
                            const MissingThere& there,
                            std::set<std::string>& fetched,
                            SpaceDemand& cache) const {
    const auto prefix = look_(ports_.root / wish.prefix.string());
    const auto home = look_(ports_.root / cache.where.string());
    const bool is_linked = !prefix || !home || prefix->id == home->id;
    const auto& [with_others, alone] = there.requirements;
    SpaceDemand demand{wish.prefix, Payer::user, {}, {}, "the environment " + wish.name};
    if (wish.name.empty())
        demand.what = counted(with_others.size() + alone.size(), "Python package");
    const auto install = [&](const std::string& requirement, const Estimate& estimate) {
        const bool comes = fetched.insert(fetched_name(by_pip, wish, requirement)).second;
        if (comes && !is_linked)
            add(cache, estimate);
        if (comes || !is_linked)
            add(demand, estimate);
    };
    for (const std::string& one : with_others)
        install(one, estimate_for(required_name(one)));
    for (const std::string& one : alone)
        install(one, estimate_alone(required_name(one)));
    for (const std::string& spec : there.conda_packages)
        if (fetched.insert(fetched_name(by_conda, wish, spec)).second)
            add(demand, python_package);
    if (there.environment && !wish_.conda_installer)
        add(demand, bare_environment);
    return demand;
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
    // Not the home itself is looked at: what is mounted there may hang.
    SpaceDemand cache{user ? user->home.parent_path() : std::filesystem::path{"/home"},
                      Payer::user,
                      {},
                      {},
                      "the installer's cache"};
    std::set<std::string> fetched = missing.fetched;
    for (std::size_t i = 0; i < missing.environments.size(); ++i) {
        const MissingThere& there = missing.environments[i];
        SpaceDemand python = into(wish_.environments[i], there, fetched, cache);
        if (there.environment && i == 0) {
            SpaceDemand tools{layout::tools, Payer::root, {}, {}, "uv"};
            add(tools, uv);
            if (wish_.conda_installer) {
                const std::uint64_t bytes = *wish_.conda_installer;
                add(tools, {{2 * bytes, 2}, {2 * bytes, 2}});
                tools.what = "conda's installer";
                add(python,
                    {{least_of_installer * bytes, least_of_installer * bytes / bytes_of_file / 2},
                     {usual_of_installer * bytes, usual_of_installer * bytes / bytes_of_file / 2}});
                python.what = "conda's environment and " + python.what;
            }
            demands.push_back(std::move(tools));
        }
        demands.push_back(std::move(python));
    }
    demands.push_back(std::move(cache));
    std::erase_if(demands, [](const SpaceDemand& demand) { return demand.usual.bytes == 0; });
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
    auto asked = co_await requirements(context, *user);
    if (!asked)
        co_return asked.error();
    // Room for everything is room for what is missing: nobody need be asked what that is.
    auto needed = demands(everything(*asked), *user);
    if (!has_ample_room(needed)) {
        const auto found = co_await missing(context, *user, std::move(*asked));
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
    auto asked = co_await requirements(context, *user);
    if (!asked)
        co_return asked.error();
    const auto found = co_await missing(context, *user, std::move(*asked));
    if (!found)
        co_return found.error();
    const auto compared = compare(demands(*found, *user));
    if (!compared)
        co_return compared.error();
    co_return Result<void>{};
}

} // namespace agent
