// SPDX-License-Identifier: Apache-2.0
//
// The whole way, from connections to what a consumer reads: the pieces that tests of the shipped binary
// share. Functions that are not told to return a failure REQUIRE that there is none.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/kafka/process.h"

namespace tests {

// The path of something that make built.
std::string built(const std::string& name);

// The test broker's address: port $KAFKA_PORT, or 9092.
std::string brokers();

// What `consume --verify` says of all runs together.
struct Verdict {
    uint64_t runs = 0;
    uint64_t events = 0;
    uint64_t holes = 0;
    uint64_t duplicates = 0;
};

// One test's topics and spool, and the commands that use them.
class Setting {
public:
    // `servers`: the brokers that have the topics.
    explicit Setting(const std::string& servers = brokers());

    const std::string& name() const { return name_; }
    std::string topic() const { return name_ + ".connections"; }
    std::string spool() const { return folder_.path() / "spool"; }
    const std::filesystem::path& folder() const { return folder_.path(); }

    // The command line of an agent, whose tracing ends with it; `settings` are more of key=value.
    std::vector<std::string> agent(const std::string& servers = brokers(),
                                   const std::vector<std::string>& settings = {}) const;

    // What the agent says of itself. `form`: text or json.
    std::string socket() const { return folder_.path() / "agent.sock"; }
    Finished status(const std::string& form = "text") const;

    Finished topics(const std::string& verb) const;
    void create_topics() const;

    // What tcptrail's own consumer finds: events as JSON on its output, the verdict on its errors.
    Finished consume() const;

    // The agent's reports, the last one last.
    std::vector<nlohmann::json> reports() const;

    // CLOSED events by the consumer that shares no code with tcptrail. 0 while there is no topic.
    uint64_t delivered() const;

private:
    std::vector<std::string> with_topics(std::vector<std::string> command) const;

    Folder folder_;
    std::string name_;
    std::string servers_;
};

Verdict verdict_of(const Finished& consumed);

bool is_tracing(const Process& agent);

// By SIGTERM, with exit status 0.
void require_stops(Process& agent);

// The command line of a generator in a network namespace of its own, 100 bytes each way.
std::vector<std::string> generator(uint64_t connections, uint64_t rate = 0);

// What the generator says of its own work: the truth that the events are compared with.
struct Truth {
    uint64_t connections;
    uint64_t netns;
    uint64_t pid;  // of the generator, the owner of both ends
};

Truth truth_of(const Finished& generated);

// The consumer's account of one generator's connections: of its namespace, whose number may be used again by
// another program's, and of its process or of none that is known.
struct Account {
    std::map<std::string, uint64_t> roles;
    std::set<std::string> ids;
    std::set<std::string> runs;
    uint64_t closed = 0;       // of any process
    uint64_t wrong_bytes = 0;  // seen whole and not 100 bytes each way
    uint64_t other_kinds = 0;
};

Account account_of(const std::string& jsonl, const Truth& truth);

// Every connection is there, both ends, once, in what both consumers read.
void require_complete(const Setting& setting, const Truth& truth);

// An unsigned number in JSON's mapping, which writes those of 64 bits as text and leaves 0 out.
uint64_t number(const nlohmann::json& message, const char* field);

// At every stage of a report: in = out + held + the sum of lost; and the agent finds nothing that does not
// fit.
void check_stages(const nlohmann::json& report);

}  // namespace tests
