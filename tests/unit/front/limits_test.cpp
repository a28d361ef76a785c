#include "agent/front/limits.hpp"

#include <catch2/catch_test_macros.hpp>

namespace agent {

TEST_CASE("places: one network has its share and no more", "[unit][front]") {
    Places places{10, 2, ShareTaken::refuse};
    CHECK(places.admit(1, "192.0.2.1").admitted);
    CHECK(places.admit(2, "192.0.2.1").admitted);
    CHECK_FALSE(places.admit(3, "192.0.2.1").admitted);
    CHECK(places.admit(4, "192.0.2.2").admitted);
    CHECK(places.taken() == 3);
}

TEST_CASE("places: a network that has its share makes room with its own oldest", "[unit][front]") {
    Places places{10, 2, ShareTaken::push_out_its_oldest};
    CHECK_FALSE(places.admit(1, "192.0.2.1").pushed_out);
    CHECK_FALSE(places.admit(2, "192.0.2.2").pushed_out);
    CHECK_FALSE(places.admit(3, "192.0.2.1").pushed_out);
    CHECK(places.admit(4, "192.0.2.1").pushed_out == 1U);
    CHECK(places.admit(5, "192.0.2.1").pushed_out == 3U);
    CHECK(places.taken() == 3);
}

TEST_CASE("places: when all are taken, the network that has most loses its oldest",
          "[unit][front]") {
    Places places{4, 3, ShareTaken::refuse};
    CHECK_FALSE(places.admit(1, "192.0.2.1").pushed_out);
    CHECK_FALSE(places.admit(2, "192.0.2.2").pushed_out);
    CHECK_FALSE(places.admit(3, "192.0.2.2").pushed_out);
    CHECK_FALSE(places.admit(4, "192.0.2.2").pushed_out);
    CHECK(places.admit(5, "192.0.2.3").pushed_out == 2U);
    CHECK(places.admit(6, "192.0.2.4").pushed_out == 3U);
    CHECK(places.taken() == 4);
}

TEST_CASE("places: nobody pushes who would then have most himself", "[unit][front]") {
    Places places{4, 3, ShareTaken::refuse};
    for (Places::Number number = 1; number <= 4; ++number)
        CHECK(places.admit(number, number % 2 == 0 ? "192.0.2.1" : "192.0.2.2").admitted);
    CHECK_FALSE(places.admit(5, "192.0.2.1").admitted);
    CHECK(places.admit(6, "192.0.2.3").pushed_out == 2U);
    CHECK(places.taken() == 4);
}

TEST_CASE("places: who has gone makes room, once; who was refused or pushed out does not",
          "[unit][front]") {
    Places places{3, 1, ShareTaken::refuse};
    CHECK(places.admit(1, "192.0.2.1").admitted);
    CHECK_FALSE(places.admit(2, "192.0.2.1").admitted);
    places.release(2, "192.0.2.1");
    places.release(9, "192.0.2.9");
    CHECK(places.taken() == 1);
    places.release(1, "192.0.2.1");
    places.release(1, "192.0.2.1");
    CHECK(places.taken() == 0);
    CHECK(places.admit(3, "192.0.2.1").admitted);
}

} // namespace agent
