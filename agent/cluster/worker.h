// SPDX-License-Identifier: Apache-2.0
//
// The thread of Cluster: watches, and asks for owners.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/cluster/directory.h"
#include "agent/cluster/options.h"
#include "agent/cluster/owners.h"
#include "agent/cluster/requests.h"
#include "agent/cluster/status.h"
#include "agent/cluster/watch.h"

namespace tcptrail::cluster {

// Used by one thread, once it runs.
class Worker {
public:
    // Gets what has changed, and may keep it.
    using Tell = std::function<void(std::vector<Update>& updates, const Status& status)>;

    Worker(const Options& options, std::string node, std::unique_ptr<Requests> requests, Tell tell);
    // Until it is told to stop.
    void run(const std::stop_token& stop);

private:
    // What the server has of one resource, by the API's uid, and in which of its lists it was seen last.
    template <class Object>
    struct Known {
        struct Entry {
            std::shared_ptr<const Object> object;
            uint64_t list = 0;
        };
        std::unordered_map<std::string, Entry> entries;
        uint64_t list = 0;
    };

    template <class Object, class Parse>
    void watch(const char* path, std::string selector, Known<Object>& known,
               std::shared_ptr<const Object> Update::* member, Parse parse);
    template <class Object>
    void put(Known<Object>& known, std::shared_ptr<const Object> Update::* member, const std::string& uid,
             Object object);
    void resolve(Pod& pod) { owners_.resolve(pod, pod.node == node_); }
    void start(Watch& watch, const Request& request);
    void ask_for_owners(uint64_t now_ns);
    void answered(const Owners::Question& question, const Answer& answer, const std::string& body);
    std::chrono::milliseconds until_next(uint64_t now_ns) const;
    Status status() const;

    std::string node_;
    std::unique_ptr<Requests> requests_;
    Tell tell_;
    std::vector<std::unique_ptr<Watch>> watches_;  // that of pods first
    Owners owners_;
    uint32_t questions_ = 0;  // in flight
    uint64_t questions_due_ns_ = 0;
    std::minstd_rand random_{std::random_device{}()};
    uint64_t asked_ = 0, questions_failed_ = 0;
    Known<Pod> pods_;
    Known<Service> services_;
    Known<Node> nodes_;
    std::vector<Update> updates_;
};

}  // namespace tcptrail::cluster
