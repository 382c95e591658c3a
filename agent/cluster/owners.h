// SPDX-License-Identifier: Apache-2.0
//
// From a pod's owner up to what an operator calls the workload: ReplicaSet to Deployment, Job to CronJob.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "agent/cluster/objects.h"

namespace tcptrail::cluster {

// Used by one thread.
class Owners {
public:
    // Sets pod.workload and pod.workload_known. Not known: next() has whom to ask. `may_ask` false: what
    // would have to be asked for stands for itself.
    void resolve(Pod& pod, bool may_ask);
    // An object to be asked for, and its uid; each is named once.
    struct Question {
        std::string uid;
        std::string target;
        Workload itself;  // the workload where nobody controls it
    };
    std::optional<Question> next();
    // Nothing: it is not there any more, or may not be read: it stands for itself.
    void answer(const Question& question, const std::optional<nlohmann::json>& object);
    // It was not told: it may be asked for again.
    void forget(const Question& question) { asked_.erase(question.uid); }

private:
    std::unordered_map<std::string, Workload> known_;  // by the owner's uid
    std::unordered_map<std::string, Question> wanted_;
    std::unordered_set<std::string> asked_;
};

}  // namespace tcptrail::cluster
