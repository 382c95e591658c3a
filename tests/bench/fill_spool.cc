// SPDX-License-Identifier: Apache-2.0
//
// Days without a network in minutes: fills a spool as the agent does, with events that an agent recorded into
// another one, over and over, each time with other ids, numbers, times and ports. tests/bench/offline uses
// it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/encode/event.h"
#include "agent/spool/inspect.h"
#include "agent/spool/spool.h"
#include "schemas/v1/connection.pb.h"

namespace {

using namespace tcptrail;
using v1::ConnectionEvent;

constexpr uint64_t nanos_per_second = 1'000'000'000;

struct Options {
    std::string record;
    std::string into;
    uint64_t events = 0;
    uint64_t rate = 200;    // events a second, of the time that is told
    uint64_t at_once = 20;  // in one append: what comes in capture.drain_interval_ms
    uint64_t max_bytes = 4ull << 30;
    std::string run_id = "0ff11e00-0000-4000-8000-000000000001";
};

template <class Value>
Value checked(Result<Value> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

std::vector<ConnectionEvent> read_record(const std::string& directory) {
    std::vector<ConnectionEvent> events;
    auto inspector = checked(spool::Inspector::open(directory + "/spool.db"));
    checked(inspector.each([&](const spool::Inspector::Found& batch) {
        for (const spool::MessageView& message : batch.messages) {
            ConnectionEvent event;
            if (message.topic == Topic::connections &&
                event.ParseFromArray(message.value.data(), static_cast<int>(message.value.size())))
                events.push_back(std::move(event));
        }
        return true;
    }));
    if (events.empty()) throw std::runtime_error(directory + " has no events");
    return events;
}

// Makes one of the recorded events another one, of the same length.
class Another {
public:
    explicit Another(const Options& options) : options_(options), began_(unix_nanos()) {}

    void rewrite(ConnectionEvent& event) {
        sequence_++;
        event.set_run_id(options_.run_id);
        // No namespace that there is: its number may be used again.
        event.set_netns(event.netns() % 1000 + 1);
        event.set_sequence(sequence_);
        const uint64_t wanted = began_ + sequence_ * nanos_per_second / options_.rate + random_() % 1'000'000;
        const uint64_t emitted = event.emitted_unix_nanos();
        const auto shift = [&](uint64_t nanos) { return wanted - (emitted - nanos); };
        if (event.has_opened_unix_nanos()) event.set_opened_unix_nanos(shift(event.opened_unix_nanos()));
        if (event.has_established_unix_nanos())
            event.set_established_unix_nanos(shift(event.established_unix_nanos()));
        if (event.has_ended_unix_nanos()) event.set_ended_unix_nanos(shift(event.ended_unix_nanos()));
        event.set_emitted_unix_nanos(wanted);
        const uint64_t birth = event.has_opened_unix_nanos() ? event.opened_unix_nanos() : wanted;
        event.set_connection_id(
            encode::connection_id(boot_, next_cookie(), birth - began_ + 1000 * nanos_per_second));
        const auto port = static_cast<uint32_t>(32768 + random_() % 28232);
        event.role() == v1::ROLE_CLIENT ? event.set_local_port(port) : event.set_remote_port(port);
    }

private:
    // The kernel gives each processor, here one of two, 4096 of them at a time: include/linux/cookie.h.
    uint64_t next_cookie() {
        uint64_t& next = next_cookies_[random_() % 2];
        if (next % 4096 == 0) next = cookies_ += 4096;
        return next++;
    }

    const Options& options_;
    const uint64_t boot_ = encode::boot_number("0ed956421162208d91deb81f64558d47", "a boot that never was");
    const uint64_t began_;
    uint64_t cookies_ = 0;
    uint64_t next_cookies_[2] = {};
    uint64_t sequence_ = 0;
    std::mt19937_64 random_{7};
};

// Waits until all that is in the spool is merged.
void settle(spool::Spool& spool) {
    for (uint64_t before = 0, now = 1; before != now;) {
        before = spool.stats().held_bytes;
        for (int i = 0; i < 300; i++) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            (void)spool.maintain();
        }
        now = spool.stats().held_bytes;
    }
}

// Where days take minutes, what is appended could come faster than it is merged.
class Lag {
public:
    // From then on it is known how much a merged event takes.
    void learn(spool::Spool& spool) {
        settle(spool);
        each_ = bytes_each(spool);
    }
    void bound(spool::Spool& spool) const {
        while (each_ > 0 &&
               spool.stats().held_bytes > unmerged + 1.02 * each_ * static_cast<double>(spool.stats().held)) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            (void)spool.maintain();
        }
    }
    static double bytes_each(const spool::Spool& spool) {
        return static_cast<double>(spool.stats().held_bytes) / static_cast<double>(spool.stats().held);
    }

private:
    static constexpr double unmerged = 24 << 20;
    double each_ = 0;
};

void fill(const Options& options) {
    std::vector<ConnectionEvent> record = read_record(options.record);
    spool::Options settings;
    settings.directory = options.into;
    settings.max_bytes = options.max_bytes;
    settings.live_first = false;  // as it is half a second after the network has gone
    settings.loose_bytes = 0;  // each day has its packed events: there is no time in which it could catch up
    auto spool = checked(spool::Spool::open(settings));
    Another another(options);
    std::vector<Message> messages;
    using Clock = std::chrono::steady_clock;
    const auto began = Clock::now();
    Lag lag;
    for (uint64_t made = 0; made < options.events;) {
        messages.clear();
        for (uint64_t i = 0; i < options.at_once && made < options.events; i++, made++) {
            ConnectionEvent& event = record[made % record.size()];
            another.rewrite(event);
            messages.push_back(encode::to_message(event));
        }
        if (auto done = spool->append(messages, {}); !done) throw std::runtime_error(done.error().message);
        if (made == options.at_once * 1000) lag.learn(*spool);
        lag.bound(*spool);
        if (made % 1'000'000 < options.at_once)
            std::fprintf(stderr, "%lu events, %.1f bytes each, %.0f s\n", made, Lag::bytes_each(*spool),
                         std::chrono::duration<double>(Clock::now() - began).count());
    }
    settle(*spool);
    const auto stats = spool->stats();
    std::printf(
        "{\"events\": %lu, \"held\": %lu, \"held_bytes\": %lu, \"evicted\": %lu, \"seconds\": %.0f}\n",
        options.events, stats.held, stats.held_bytes, stats.evicted,
        std::chrono::duration<double>(Clock::now() - began).count());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Fills a spool with events of another one, again and again, as if days went by.");
    app.add_option("--record", options.record, "folder of the spool with the events")->required();
    app.add_option("--into", options.into, "folder of the spool to fill")->required();
    app.add_option("--events", options.events, "how many")->required();
    app.add_option("--rate", options.rate, "events per second of the time that they tell")
        ->capture_default_str();
    app.add_option("--at-once", options.at_once, "events in one append")->capture_default_str();
    app.add_option("--max-bytes", options.max_bytes, "spool.max_bytes")->capture_default_str();
    try {
        app.parse(argc, argv);
        fill(options);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fill_spool: %s\n", error.what());
        return 1;
    }
}
