#include "agent/supervise/setup_clock.hpp"

#include <algorithm>

namespace agent {

bool SetupClock::begin(Time now, const std::string& configuration, Begin how) {
    const bool is_new = how == Begin::anew || configuration_ != configuration;
    if (is_new) {
        configuration_ = configuration;
        ran_ = Time{0};
        running_since_.reset();
    }
    go_on(now);
    return is_new;
}

void SetupClock::stand(Time now) {
    ran_ = ran(now);
    running_since_.reset();
}

void SetupClock::go_on(Time now) {
    if (!running_since_ && !configuration_.empty())
        running_since_ = now;
}

void SetupClock::end() {
    *this = {};
}

SetupClock::Time SetupClock::ran(Time now) const {
    return running_since_ ? ran_ + std::max(Time{0}, now - *running_since_) : ran_;
}

Value SetupClock::to_value() const {
    if (configuration_.empty())
        return {};
    return Value::Object{{"configuration", configuration_, {}},
                         {"ran_ms", std::int64_t{ran_.count()}, {}},
                         {"running_since_ms",
                          running_since_ ? Value{std::int64_t{running_since_->count()}} : Value{},
                          {}}};
}

Result<SetupClock> SetupClock::from_value(const Value& value) {
    SetupClock clock;
    if (std::holds_alternative<std::nullptr_t>(value.data))
        return clock;
    clock.configuration_ = value.string_or("configuration", "");
    const Value* ran = value.find("ran_ms");
    const Value* since = value.find("running_since_ms");
    if (clock.configuration_.empty() || !ran || !ran->as_integer() || *ran->as_integer() < 0 ||
        !since)
        return permanent("this is no setup's clock");
    clock.ran_ = Time{*ran->as_integer()};
    if (since->as_integer())
        clock.running_since_ = Time{*since->as_integer()};
    return clock;
}

} // namespace agent
