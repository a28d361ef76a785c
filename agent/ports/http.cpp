#include "agent/ports/http.hpp"

#include "agent/base/text.hpp"

namespace agent {

std::string HttpResponse::header(const std::string& name) const {
    const auto found = headers.find(lower(name));
    return found == headers.end() ? std::string{} : found->second;
}

} // namespace agent
