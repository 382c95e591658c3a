// SPDX-License-Identifier: Apache-2.0
//
// The random mix of `make soak`. SOAK_SECS in the environment says how long the random mix goes on, SOAK_SEED
// what it is.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"

using namespace tests;

namespace {

uint64_t environment(const char* name, uint64_t otherwise) {
    const char* const value = std::getenv(name);
    return value != nullptr ? std::stoull(value) : otherwise;
}

struct Size {
    uint64_t resident_pages = 0;
    uint64_t descriptors = 0;
};

Size size_of(const Process& agent) {
    const std::string folder = "/proc/" + std::to_string(agent.pid());
    Size size;
    std::ifstream(folder + "/statm") >> size.resident_pages >> size.resident_pages;
    const std::filesystem::directory_iterator descriptors(folder + "/fd");
    size.descriptors = static_cast<uint64_t>(std::distance(begin(descriptors), end(descriptors)));
    return size;
}

// One fault at a time beside a load, each chosen by the seed.
class Mix {
public:
    Mix(const Setting& setting, uint64_t seed) : setting_(setting), random_(seed) { start(); }

    void round() {
        Process load(generator(3000, 1000));
        std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 1000));
        inject();
        const int status = load.wait(seconds(60));
        truths_.push_back(truth_of(Finished{status, load.output(), load.errors()}));
        // A new one sees nothing of what ends in between, so it begins between two loads.
        if (random_() % 5 == 0) {
            require_stops(*agent_);
            start();
        }
    }

    Process& agent() { return *agent_; }
    const std::vector<Truth>& truths() const { return truths_; }

private:
    void start() {
        agent_ = std::make_unique<Process>(setting_.agent());
        REQUIRE(is_tracing(*agent_));
    }

    void inject() {
        Broker& broker = Broker::shared();
        const seconds length(1 + random_() % 4);
        const uint64_t kind = random_() % 6;
        std::printf("soak: fault of kind %lu, %ld s\n", kind, length.count());
        if (kind == 0) {
            broker.freeze();
            std::this_thread::sleep_for(length);
            broker.thaw();
        } else if (kind == 1) {
            broker.kill();
            broker.start();
        } else if (kind == 2) {
            broker.stop();
            broker.start();
        } else if (kind == 3) {
            agent_->signal(SIGSTOP);
            std::this_thread::sleep_for(length);
            agent_->signal(SIGCONT);
        } else {
            const Partition partition(kind == 4 ? 1000 : 50);
            std::this_thread::sleep_for(length);
        }
    }

    const Setting& setting_;
    std::minstd_rand random_;
    std::unique_ptr<Process> agent_;
    std::vector<Truth> truths_;
};

}  // namespace

TEST_CASE("fault 68: a random mix", "[.soak][root]") {
    const uint64_t seed = environment("SOAK_SEED", std::random_device()());
    const seconds length(environment("SOAK_SECS", 600));
    std::printf("soak: SOAK_SEED=%lu SOAK_SECS=%ld\n", seed, length.count());
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Mix mix(setting, seed);
    mix.round();
    const Size first = size_of(mix.agent());
    const auto end = std::chrono::steady_clock::now() + length;
    while (std::chrono::steady_clock::now() < end)
        mix.round();
    uint64_t ends = 0;
    for (const Truth& truth : mix.truths())
        ends += 2 * truth.connections;
    // What the ring had no place for is not delivered, and counted.
    (void)eventually(seconds(60), [&] { return setting.delivered() >= ends; });
    const Size last = size_of(mix.agent());
    std::printf("soak: resident pages %lu, then %lu; descriptors %lu, then %lu\n", first.resident_pages,
                last.resident_pages, first.descriptors, last.descriptors);
    CHECK(last.resident_pages < 2 * first.resident_pages);
    CHECK(last.descriptors <= first.descriptors + 8);
    require_stops(mix.agent());
    (void)require_audit(setting, mix.truths());
}
