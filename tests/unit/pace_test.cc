// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/pace.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "tests/catch.h"

namespace tcptrail::transmit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A link that carries so many bytes a second and takes so long for the way there and back. Whoever sends has
// messages of 500 bytes of the backlog whenever the pace allows.
class Link {
public:
    Link(double bytes_per_second, milliseconds latency) : rate_(bytes_per_second), latency_(latency) {}

    void set_latency(milliseconds latency) { latency_ = latency; }

    // Returns the longest time that a message sent meanwhile would have taken, from `settled` on.
    Pace::Duration run(Pace& pace, Pace::Duration how_long, Pace::Duration settled) {
        Pace::Duration longest{};
        const auto end = now_ + how_long;
        const auto settled_at = now_ + settled;
        for (; now_ < end; now_ += milliseconds(1)) {
            while (!on_the_way_.empty() && on_the_way_.front().arrives <= now_) {
                pace.acknowledged(on_the_way_.front().sent, now_, bytes_);
                bytes_ -= message_bytes;
                acknowledged_ += message_bytes;
                on_the_way_.pop_front();
            }
            while (bytes_ < pace.budget()) {
                free_at_ =
                    std::max(free_at_, now_) + std::chrono::duration_cast<Pace::Duration>(
                                                   std::chrono::duration<double>(message_bytes / rate_));
                on_the_way_.push_back({now_, free_at_ + latency_});
                bytes_ += message_bytes;
            }
            if (now_ >= settled_at) longest = std::max(longest, std::max(free_at_, now_) + latency_ - now_);
        }
        return longest;
    }

    double rate_of_last_run(Pace::Duration how_long) {
        const double rate = static_cast<double>(std::exchange(acknowledged_, 0)) /
                            std::chrono::duration<double>(how_long).count();
        return rate;
    }

private:
    static constexpr uint64_t message_bytes = 500;
    struct Message {
        Pace::Clock::time_point sent, arrives;
    };

    double rate_;
    milliseconds latency_;
    Pace::Clock::time_point now_{seconds(1000)}, free_at_;
    std::deque<Message> on_the_way_;
    uint64_t bytes_ = 0;
    uint64_t acknowledged_ = 0;
};

}  // namespace

TEST_CASE("pace: what is live waits for half a second and a third of the round trip, whatever the link",
          "[transmit]") {
    struct Case {
        double rate;
        milliseconds latency;
    };
    for (const Case& link_case :
         {Case{50e6, milliseconds(5)}, Case{10e6, milliseconds(50)}, Case{1e6, milliseconds(200)},
          Case{250e3, milliseconds(600)}, Case{1e6, milliseconds(5000)}}) {
        Pace pace;
        Link link(link_case.rate, link_case.latency);
        link.run(pace, seconds(60), seconds(0));
        link.rate_of_last_run(seconds(60));
        const auto longest = link.run(pace, seconds(300), seconds(0));
        const double used = link.rate_of_last_run(seconds(300)) / link_case.rate;
        CAPTURE(link_case.rate, link_case.latency.count(), used,
                std::chrono::duration<double>(longest).count());
        CHECK(longest < link_case.latency * 4 / 3 + milliseconds(500));
        CHECK(used > 0.8);
    }
}

TEST_CASE("pace: a link that becomes longer is used again", "[transmit]") {
    Pace pace;
    Link link(5e6, milliseconds(10));
    link.run(pace, seconds(60), seconds(0));
    link.set_latency(milliseconds(1000));
    link.run(pace, seconds(120), seconds(0));
    link.rate_of_last_run(seconds(1));
    link.run(pace, seconds(60), seconds(0));
    CHECK(pace.shortest() >= milliseconds(1000));
    CHECK(link.rate_of_last_run(seconds(60)) > 0.8 * 5e6);
}

// Other traffic on the way adds up to a fortieth of it, now more and now less.
TEST_CASE("pace: a long way whose length varies is used", "[transmit]") {
    Pace pace;
    Link link(1e6, seconds(10));
    for (int i = 0; i < 24; ++i) {
        link.set_latency(seconds(10) + milliseconds(i % 3 * 125));
        link.run(pace, seconds(15), seconds(0));
        if (i == 11) link.rate_of_last_run(seconds(1));
    }
    const double used = link.rate_of_last_run(seconds(12 * 15)) / 1e6;
    CAPTURE(used);
    CHECK(used > 0.5);
}

TEST_CASE("pace: nothing is known, and little allowed, before the first acknowledgement", "[transmit]") {
    const Pace pace;
    CHECK(pace.budget() == Pace::least_bytes);
    CHECK(pace.shortest() == Pace::Duration::zero());
}

}  // namespace tcptrail::transmit
