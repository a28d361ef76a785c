// Owns the files of one download: NAME.part while it grows, NAME.state beside it, NAME.rejected as
// evidence, NAME once it is whole and verified; and the SHA-256, made in order as the front
// advances.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/workers/download_plan.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

class PartialFile {
public:
    // Locks it: transient when another process downloads the same.
    static Result<PartialFile> open(std::filesystem::path directory, std::string name);

    // Whether NAME is there with this SHA-256. Another one under that name is removed.
    [[nodiscard]] Result<std::optional<std::uint64_t>> finished(std::string_view sha256) const;
    // What an earlier run left, as far as the file bears it out.
    [[nodiscard]] std::optional<DownloadState> earlier() const;

    // Asks for the room that the whole file needs. Permanent, with the need and what is there, when
    // there is not enough; out of bytes and out of inodes are told apart.
    [[nodiscard]] Result<void> reserve(std::uint64_t size);
    [[nodiscard]] Result<void> write(std::uint64_t offset, std::string_view bytes);

    // Hashes on towards `front`, at most some megabytes a call; true: it is there.
    [[nodiscard]] Result<bool> hash_towards(std::uint64_t front);
    [[nodiscard]] std::uint64_t hashed() const { return hashed_; }
    [[nodiscard]] std::string digest() const { return sha256_.hex(); }
    [[nodiscard]] bool begins_like_html() const;
    // A reserve() or write() failed for want of room.
    [[nodiscard]] bool is_out_of_room() const { return is_out_of_room_; }
    [[nodiscard]] std::filesystem::path rejected() const { return beside(".rejected"); }

    // The bytes first, then the state that speaks of them: a power cut in between loses only time,
    // and so does a state that cannot be written.
    [[nodiscard]] Result<void> checkpoint(const std::optional<DownloadState>& state);
    [[nodiscard]] Result<void> start_again();
    [[nodiscard]] Result<void> reject();  // NAME.part becomes NAME.rejected
    [[nodiscard]] Result<void> discard(); // makes room
    [[nodiscard]] Result<void> finish();  // NAME.part becomes NAME, durably

private:
    PartialFile(std::filesystem::path directory, std::string name, UniqueFd fd);
    [[nodiscard]] std::filesystem::path beside(std::string_view end) const;
    [[nodiscard]] Error out_of_room(std::uint64_t need, int errnum);

    std::filesystem::path directory_;
    std::string name_;
    UniqueFd fd_;
    Sha256 sha256_;
    std::uint64_t hashed_ = 0;
    std::uint64_t not_on_its_way_ = 0; // written since the kernel was last told to write it out
    std::optional<std::uint64_t> reserved_;
    bool is_out_of_room_ = false;
};

// Why a file could not be written: for want of room with the need and what is there, in bytes or in
// inodes.
[[nodiscard]] Error
write_failure(const std::filesystem::path& path, std::uint64_t need, int errnum);

} // namespace agent
