// SPDX-License-Identifier: Apache-2.0
//
// What the API server of a Kubernetes cluster says of pods, services and nodes, as it changes. A thread of
// its own asks; the capture thread takes what has come.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/mutex.h"
#include "agent/cluster/directory.h"
#include "agent/cluster/options.h"
#include "agent/cluster/status.h"
#include "agent/cluster/worker.h"

namespace tcptrail::cluster {

// Belongs to one thread, which calls all of it.
class Cluster {
public:
    // `node`: this node's name in the cluster. An error: it could not even ask.
    static Result<std::unique_ptr<Cluster>> start(const Options& options, const std::string& node);
    // Joins the thread.
    ~Cluster() = default;
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // What has come since the last call. Without a lock where there is nothing.
    void take(Directory& directory);
    // Whether all that the server knew of pods has come, and more comes as it happens. Without a lock.
    Contact contact() const { return contact_.load(std::memory_order_acquire); }
    Status status() const;

private:
    Cluster() = default;
    void tell(std::vector<Update>& updates, const Status& status);

    std::atomic<Contact> contact_{Contact::starting};
    std::atomic<bool> has_updates_{false};
    mutable Mutex mutex_;
    std::vector<Update> updates_ GUARDED_BY(mutex_);
    Status status_ GUARDED_BY(mutex_);
    std::unique_ptr<Worker> worker_;
    std::jthread thread_;  // ends before all of the above
};

}  // namespace tcptrail::cluster
