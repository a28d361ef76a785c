#include "agent/workers/account.hpp"

#include "agent/host/gce_metadata.hpp"
#include "agent/host/http_client.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/workers/work.hpp"

#include <boost/asio/io_context.hpp>

#include <optional>
#include <ostream>

namespace agent {
namespace {

using Answer = Result<std::optional<ServiceAccount>>;

Answer ask() {
    const auto endpoint = metadata_server();
    if (!endpoint)
        return endpoint.error();
    boost::asio::io_context io{1};
    BeastHttpClient http{io, {}};
    GceMetadata metadata{http, *endpoint};
    return run_alone(io, metadata.service_account(), Answer{transient("it was not asked")});
}

} // namespace

int account_worker(std::ostream& out) {
    out << write_account(ask()) << '\n' << std::flush;
    return 0;
}

} // namespace agent
