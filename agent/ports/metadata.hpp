// Port: what GCE's metadata server says of this VM, and the guest attributes that we say back.
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

// Names the server in the environment, as Google's own clients have it.
inline constexpr const char* metadata_variable = "GCE_METADATA_HOST";

// One recursive read: everything in it is of one moment.
struct MachineFacts {
    std::string instance_id; // a 64-bit number, kept as its digits
    std::string name;
    std::string hostname;
    std::string zone; // last component: europe-west1-b
    std::string project_id;
    std::string network; // last component, of the first interface: default
    std::vector<std::string> internal_addresses;
    std::vector<std::string> external_addresses;
    std::vector<std::string> tags;
    std::map<std::string, std::string> instance_attributes;
    std::map<std::string, std::string> project_attributes;
};

enum class GuestWrite {
    written,
    disabled, // 403: enable-guest-attributes is not TRUE
    rejected, // another 4xx: writing the same again will not help
    later,    // 429, 5xx, no answer: try again
};

class MetadataSource {
public:
    virtual ~MetadataSource() = default;
    // Transient when there is no answer, a 5xx or half of an answer: success has an instance_id.
    // Permanent when what answers is not GCE's server (no `Metadata-Flavor: Google` in the
    // response). One attempt; the caller retries.
    virtual boost::asio::awaitable<Result<MachineFacts>> read() = 0;

    // Waits until the instance's attributes differ from those that `etag` stands for, at most about
    // a minute; returns the etag now (the same one when nothing changed). An empty etag returns at
    // once.
    virtual boost::asio::awaitable<Result<std::string>> wait_for_attributes(std::string etag) = 0;

    // Waits as above until instance/preempted is another value; an empty etag returns at once. TRUE
    // is GCE's notice that it stops this Spot or preemptible VM within 30 s.
    struct Preemption {
        bool noticed = false;
        std::string etag;
    };
    virtual boost::asio::awaitable<Result<Preemption>> wait_for_preemption(std::string etag) = 0;

    // PUT instance/guest-attributes/agent/KEY; one attempt.
    virtual boost::asio::awaitable<GuestWrite> put_guest_attribute(std::string key,
                                                                   std::string value) = 0;
};

} // namespace agent
