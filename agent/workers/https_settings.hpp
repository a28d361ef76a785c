// Owns how an order's words about the network become the HTTPS client's settings.
#pragma once

#include "agent/base/error.hpp"
#include "agent/host/https_client.hpp"
#include "agent/ports/https_url.hpp"

namespace agent {

// `Order` is a DownloadOrder or a BucketOrder. A proxy that is none is misconfigured.
template <class Order>
[[nodiscard]] Result<HttpsSettings> https_settings(const Order& order, int build_year) {
    HttpsSettings settings;
    if (!order.proxy.empty()) {
        const auto proxy = parse_proxy(order.proxy);
        if (!proxy)
            return proxy.error();
        settings.proxy = *proxy;
    }
    settings.no_proxy = order.no_proxy;
    settings.ca_certificates = order.ca_certificates;
    settings.head_timeout = order.head_timeout;
    settings.idle_timeout = order.idle_timeout;
    settings.earliest_year = build_year;
    return settings;
}

} // namespace agent
