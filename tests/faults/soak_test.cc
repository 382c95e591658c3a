// SPDX-License-Identifier: Apache-2.0
//
// The random mix of `make soak`. SOAK_SECS in the environment says how long it goes on, SOAK_SEED what it is:
// the same seed makes the same faults, in the same order.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/disk.h"
#include "tests/faults/own_connections.h"
#include "tests/faults/pins.h"
#include "tests/kafka/acl.h"
#include "tests/kafka/topic.h"

using namespace tests;

namespace {

using Clock = std::chrono::steady_clock;

// The account of a part is made from all that it delivered, and its topics are deleted then: so a soak may be
// as long as it likes.
constexpr seconds longest_part(300);

// Of one process, from the end of its first load to the end of its last.
constexpr uint64_t may_grow_kib = 24 << 10;
constexpr uint64_t may_open = 4;
// Until what an agent needs for its start alone is given back, and what it needs to deliver is there.
constexpr seconds settling(2);

enum class Fault {
    broker_freezes,
    broker_is_killed,
    broker_is_stopped,
    agent_stands_still,
    packets_are_lost,
    some_packets_are_lost,
    agent_is_killed,
    agent_is_ended,
    agent_reloads,
    disk_is_full,
    writing_is_forbidden,
    only_small_messages,
};

constexpr std::array names = {
    "the broker is frozen",   "the broker is killed", "the broker is stopped",
    "the agent stands still", "all packets are lost", "one packet in twenty is lost",
    "the agent is killed",    "the agent is ended",   "the agent reloads",
    "the disk is full",       "writing is forbidden", "only messages of 4,000 bytes are taken",
};

uint64_t environment(const char* name, uint64_t otherwise) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::stoull(value) : otherwise;
}

size_t times(const std::string& text, const std::string& words) {
    size_t found = 0;
    for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1))
        ++found;
    return found;
}

// What the seed chooses, always so many numbers a round: how long a round takes changes nothing.
struct Round {
    std::chrono::milliseconds before;  // since the load began
    Fault fault;
    seconds length;

    explicit Round(std::minstd_rand& random)
        : before(random() / 7 % 1000),
          fault(static_cast<Fault>(random() / 7 % names.size())),
          length(1 + random() / 7 % 4) {}
};

struct Size {
    uint64_t resident_kib = 0;   // all
    uint64_t anonymous_kib = 0;  // without the ring and the executable
    uint64_t descriptors = 0;
};

Size size_of(const Process& agent) {
    const std::string folder = "/proc/" + std::to_string(agent.pid());
    Size size;
    std::ifstream file(folder + "/status");
    for (std::string word; file >> word;) {
        if (word == "VmRSS:") file >> size.resident_kib;
        if (word == "RssAnon:") file >> size.anonymous_kib;
    }
    const std::filesystem::directory_iterator descriptors(folder + "/fd");
    size.descriptors = static_cast<uint64_t>(std::distance(begin(descriptors), end(descriptors)));
    return size;
}

// One fault at a time beside a load. Agents are pinned, and their spool lies on a small disk.
class Part {
public:
    // `stays`: no agent is killed or ended but at the end of the part; it reloads instead.
    Part(Clock::time_point began, bool stays) : began_(began), stays_(stays) {
        setting_.create_topics();
        start();
    }

    void play(const Round& round) {
        Process load(generator(3000, 1000));
        std::this_thread::sleep_for(round.before);
        const bool ends = round.fault == Fault::agent_is_killed || round.fault == Fault::agent_is_ended;
        inject(ends && stays_ ? Fault::agent_reloads : round.fault, round.length);
        const int status = load.wait(seconds(60));
        truths_.push_back(truth_of(Finished{status, load.output(), load.errors()}));
        sizes_.push_back(size_of(*agent_));
    }

    // REQUIREs the account, that agents did not grow, and that nothing is remembered of what is over.
    void end() {
        uint64_t ends = 0;
        for (const Truth& truth : truths_)
            ends += 2 * truth.connections;
        // What the ring had no place for is not delivered, and counted.
        (void)eventually(seconds(60), [&] { return setting_.delivered() >= ends; });
        require_forgotten();
        const uint64_t in_memory = times(agent_->errors(), in_memory_words) + in_memory_before_;
        require_stops(*agent_);
        judge_sizes();
        CHECK(detach(bpffs_).status == 0);
        std::printf("soak: %zu rounds, %zu agents, events in memory %lu times;", truths_.size(), agents_,
                    in_memory);
        for (const auto& [fault, count] : faults_)
            std::printf(" %s %zu%s", names[static_cast<size_t>(fault)], count,
                        fault == faults_.rbegin()->first ? "\n" : ",");
        (void)require_audit(setting_, truths_, Killed::upper_bound);
        for (const char* const topic : {".connections", ".agents"})
            delete_topic(brokers(), setting_.name() + topic);
    }

private:
    static constexpr const char* in_memory_words = "events are kept in memory";
    static constexpr const char* on_disk_words = "events are stored on the disk again";

    void tell(const std::string& what) const {
        const std::chrono::duration<double> now = Clock::now() - began_;
        std::printf("soak: %7.1f s: %s\n", now.count(), what.c_str());
        std::fflush(stdout);
    }

    void start() {
        agent_ = std::make_unique<Process>(setting_.agent(
            brokers(), {bpffs_.setting(), "spool.directory=" + (disk_.path() / "spool").string(),
                        "report.interval_secs=1"}));
        ++agents_;
        reloads_ = 0;
        REQUIRE(is_tracing(*agent_));
        std::this_thread::sleep_for(settling);
    }

    bool says(const char* words, size_t count) const {
        return eventually(seconds(60), [&] { return times(agent_->errors(), words) >= count; });
    }

    void judge_sizes() {
        REQUIRE(!sizes_.empty());
        const Size& first = sizes_.front();
        const Size& last = sizes_.back();
        const auto most = std::ranges::max(sizes_, {}, &Size::resident_kib);
        tell("agent of " + std::to_string(sizes_.size()) + " rounds: resident " +
             std::to_string(first.resident_kib) + ", then " + std::to_string(last.resident_kib) +
             ", at most " + std::to_string(most.resident_kib) + " KiB; anonymous " +
             std::to_string(first.anonymous_kib) + ", then " + std::to_string(last.anonymous_kib) +
             " KiB; descriptors " + std::to_string(first.descriptors) + ", then " +
             std::to_string(last.descriptors));
        CHECK(last.resident_kib <= first.resident_kib + may_grow_kib);
        CHECK(last.descriptors <= first.descriptors + may_open);
        sizes_.clear();
    }

    // Connections that are open are in the kernel's maps, and those that are over are not.
    void require_forgotten() const {
        struct stat netns{};
        REQUIRE(stat("/proc/self/ns/net", &netns) == 0);
        std::vector<Truth> made = truths_;
        made.push_back({100, netns.st_ino, static_cast<uint64_t>(getpid())});
        uint64_t open = 0;
        {
            const OwnConnections own(made.back().connections);
            open = remembered_of(made, bpffs_);
        }
        uint64_t left = 0;
        const bool none = eventually(seconds(30), [&] { return (left = remembered_of(made, bpffs_)) == 0; });
        tell("remembered in the kernel: " + std::to_string(open) + " ends that are open, then " +
             std::to_string(left));
        CHECK(open == 2 * made.back().connections);
        CHECK(none);
    }

    void end_agent(int signal, seconds pause) {
        if (!sizes_.empty()) judge_sizes();
        in_memory_before_ += times(agent_->errors(), in_memory_words);
        if (signal == SIGTERM)
            require_stops(*agent_);
        else
            agent_->signal(signal);
        agent_.reset();
        std::this_thread::sleep_for(pause);
        start();
    }

    void limit_messages(const std::vector<std::string>& how) const {
        std::vector<std::string> arguments{"--alter", "--entity-type", "topics", "--entity-name",
                                           setting_.topic()};
        arguments.insert(arguments.end(), how.begin(), how.end());
        broker_.tool("kafka.admin.ConfigCommand", arguments);
    }

    void inject(Fault fault, seconds length) {
        ++faults_[fault];
        tell(std::string(names[static_cast<size_t>(fault)]) + ", " + std::to_string(length.count()) + " s");
        const auto pause = [&] { std::this_thread::sleep_for(length); };
        switch (fault) {
            case Fault::broker_freezes:
                broker_.freeze();
                pause();
                broker_.thaw();
                break;
            case Fault::broker_is_killed:
                broker_.kill();
                broker_.start();
                break;
            case Fault::broker_is_stopped:
                broker_.stop();
                broker_.start();
                break;
            case Fault::agent_stands_still:
                agent_->signal(SIGSTOP);
                pause();
                agent_->signal(SIGCONT);
                break;
            case Fault::packets_are_lost:
            case Fault::some_packets_are_lost: {
                const Partition partition(fault == Fault::packets_are_lost ? 1000 : 50);
                pause();
                break;
            }
            case Fault::agent_is_killed:
                end_agent(SIGKILL, length - seconds(1));
                break;
            case Fault::agent_is_ended:
                end_agent(SIGTERM, length - seconds(1));
                break;
            case Fault::agent_reloads:
                agent_->signal(SIGHUP);
                REQUIRE(says("tracing the TCP connections", ++reloads_ + 1));
                std::this_thread::sleep_for(settling);
                break;
            case Fault::disk_is_full:
                disk_.fill();
                pause();
                disk_.free();
                REQUIRE(says(on_disk_words, times(agent_->errors(), in_memory_words)));
                break;
            case Fault::writing_is_forbidden: {
                const AccessRule rule(brokers(), setting_.topic(), Access::describe);
                pause();
                break;
            }
            case Fault::only_small_messages:
                limit_messages({"--add-config", "max.message.bytes=4000"});
                pause();
                limit_messages({"--delete-config", "max.message.bytes"});
                break;
        }
    }

    const Clock::time_point began_;
    const bool stays_;
    Broker& broker_ = Broker::shared();
    const Setting setting_;
    const SmallDisk disk_{setting_.folder(), 64};
    const BpfFs bpffs_{setting_.folder()};
    std::unique_ptr<Process> agent_;
    size_t agents_ = 0;
    size_t reloads_ = 0;             // of this agent
    uint64_t in_memory_before_ = 0;  // of those before it
    std::vector<Size> sizes_;        // of this agent, after each load
    std::vector<Truth> truths_;
    std::map<Fault, size_t> faults_;
};

}  // namespace

TEST_CASE("fault 68: a random mix", "[.soak][root]") {
    const uint64_t seed = environment("SOAK_SEED", std::random_device()());
    const seconds length(environment("SOAK_SECS", 600));
    std::printf("soak: SOAK_SEED=%lu SOAK_SECS=%ld\n", seed, length.count());
    std::minstd_rand random(static_cast<std::minstd_rand::result_type>(seed));
    const Clock::time_point began = Clock::now(), end = began + length;
    bool stays = false;
    do {
        const Clock::time_point part_ends = std::min(end, Clock::now() + longest_part);
        Part part(began, stays);
        do {
            part.play(Round(random));
        } while (Clock::now() < part_ends);
        part.end();
        // Each second part shows what becomes of one process.
        stays = !stays;
    } while (Clock::now() < end);
}
