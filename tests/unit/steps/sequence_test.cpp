#include "agent/steps/sequence.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;

namespace {

struct Seen {
    bool stands = false;
    bool fails = false;
    int made = 0;
    std::optional<std::string> last;
};

class Part : public Guarantee {
public:
    Part(std::string name, Seen& seen) : name_{std::move(name)}, seen_{seen} {}
    [[nodiscard]] std::string fingerprint() const override { return "of " + name_; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override {
        seen_.last = context.last_fingerprint();
        co_return seen_.stands ? StepCheck::yes(name_) : StepCheck::due("no " + name_);
    }
    boost::asio::awaitable<Result<void>> apply(StepContext&) override {
        ++seen_.made;
        if (seen_.fails)
            co_return permanent("cannot make " + name_);
        seen_.stands = true;
        co_return Result<void>{};
    }

private:
    std::string name_;
    Seen& seen_;
};

struct Three {
    StepWorld world;
    Seen first, second, third;
    Sequence sequence{parts()};

private:
    std::vector<std::unique_ptr<Guarantee>> parts() {
        std::vector<std::unique_ptr<Guarantee>> made;
        made.push_back(std::make_unique<Part>("one", first));
        made.push_back(std::make_unique<Part>("two", second));
        made.push_back(std::make_unique<Part>("three", third));
        return made;
    }
};

} // namespace

TEST_CASE("sequence: it stands when every part does, and the first that does not is the reason",
          "[unit][steps]") {
    Three three;
    three.first.stands = true;
    CHECK(three.world.check(three.sequence).value().reason == "no two");
    REQUIRE(three.world.apply(three.sequence).has_value());
    CHECK(three.first.made == 0);
    CHECK(three.second.made == 1);
    CHECK(three.third.made == 1);
    const auto checked = three.world.check(three.sequence).value();
    CHECK(checked.satisfied);
    CHECK(checked.reason == "one; two; three");
}

TEST_CASE("sequence: what follows a part that cannot be made is not tried", "[unit][steps]") {
    Three three;
    three.second.fails = true;
    const auto applied = three.world.apply(three.sequence);
    REQUIRE(applied.has_error());
    CHECK(applied.error().message == "cannot make two");
    CHECK(three.first.made == 1);
    CHECK(three.third.made == 0);
}

TEST_CASE("sequence: each part is told of its own inputs alone", "[unit][steps]") {
    Three three;
    three.first.stands = three.second.stands = true;
    three.world.context.last = three.sequence.fingerprint();
    CHECK_FALSE(three.world.check(three.sequence).value().satisfied);
    CHECK(three.first.last == "of one");
    CHECK(three.second.last == "of two");
    CHECK(three.third.last == "of three");
    three.world.context.last = "of a sequence with other parts";
    CHECK_FALSE(three.world.check(three.sequence).value().satisfied);
    CHECK(three.first.last == std::nullopt);
}
