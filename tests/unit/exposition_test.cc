// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/exposition.h"

#include <limits>
#include <string>
#include <vector>

#include "tests/catch.h"

using namespace tcptrail::serve;

namespace {

std::string written(MetricsForm form) {
    Exposition to(form);
    to.counter("a_total", "What it is.");
    to.integer("", 3);
    to.integer(Labels().add("x", "1").text(), std::numeric_limits<uint64_t>::max());
    to.gauge("b_seconds", "Another.");
    to.real("", 0.25);
    to.histogram("c_seconds", "A third.");
    to.buckets(Labels().add("x", "1").text(), std::vector{0.5, 1.0}, std::vector<uint64_t>{1, 2, 3}, 7.5);
    return std::move(to).finish();
}

}  // namespace

TEST_CASE("exposition: the text format of Prometheus") {
    CHECK(written(MetricsForm::prometheus) == R"(# HELP a_total What it is.
# TYPE a_total counter
a_total 3
a_total{x="1"} 18446744073709551615
# HELP b_seconds Another.
# TYPE b_seconds gauge
b_seconds 0.25
# HELP c_seconds A third.
# TYPE c_seconds histogram
c_seconds_bucket{x="1",le="0.5"} 1
c_seconds_bucket{x="1",le="1"} 3
c_seconds_bucket{x="1",le="+Inf"} 6
c_seconds_sum{x="1"} 7.5
c_seconds_count{x="1"} 6
)");
}

TEST_CASE("exposition: OpenMetrics") {
    CHECK(written(MetricsForm::openmetrics) == R"(# HELP a What it is.
# TYPE a counter
a_total 3
a_total{x="1"} 18446744073709551615
# HELP b_seconds Another.
# TYPE b_seconds gauge
b_seconds 0.25
# HELP c_seconds A third.
# TYPE c_seconds histogram
c_seconds_bucket{x="1",le="0.5"} 1
c_seconds_bucket{x="1",le="1.0"} 3
c_seconds_bucket{x="1",le="+Inf"} 6
c_seconds_sum{x="1"} 7.5
c_seconds_count{x="1"} 6
# EOF
)");
}

TEST_CASE("exposition: values of labels") {
    CHECK(Labels().text().empty());
    CHECK(Labels().add("a", "").add("b", "c").text() == R"(a="",b="c")");
    CHECK(Labels().add("a", "\"\\\n\t\r{}=,é").text() == "a=\"\\\"\\\\\\n\t\r{}=,é\"");
}

TEST_CASE("exposition: odd numbers") {
    Exposition to(MetricsForm::prometheus);
    to.gauge("a", "A.");
    for (const double value :
         {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
          std::numeric_limits<double>::quiet_NaN(), 1e-9, 1e21, -0.5})
        to.real("", value);
    CHECK(std::move(to).finish() ==
          "# HELP a A.\n# TYPE a gauge\na +Inf\na -Inf\na NaN\na 1e-09\na 1e+21\na -0.5\n");
}
