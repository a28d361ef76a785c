#include "agent/base/markup.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace agent;

TEST_CASE("markup: text stays text", "[unit][base]") {
    CHECK(as_markup("<a href=\"x\">'&amp;'</a> ü") ==
          "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt; ü");
    CHECK(as_markup("a\xEF\xBF\xBE\xEF\xBF\xBF\xEF") == "a??\xEF"); // U+FFFE, U+FFFF
    CHECK(as_markup("").empty());
}
