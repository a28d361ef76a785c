// Owns Result::value() in tests: it throws the Error's words. The product cannot even compile it.
#pragma once

#include "agent/base/error.hpp"

#include <boost/assert/source_location.hpp>

#include <stdexcept>

namespace agent {

[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location& /*place*/) {
    throw std::runtime_error{error.message};
}

} // namespace agent
