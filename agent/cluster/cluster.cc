// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/cluster.h"

#include <iterator>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/thread.h"

namespace tcptrail::cluster {

Result<std::unique_ptr<Cluster>> Cluster::start(const Options& options, const std::string& node) {
    auto server = Requests::find_server(options);
    if (!server) return std::unexpected(std::move(server.error()));
    auto requests = Requests::create(options, std::move(*server));
    if (!requests) return std::unexpected(std::move(requests.error()).within("kubernetes.api_server"));
    std::unique_ptr<Cluster> self(new Cluster);
    self->worker_ =
        std::make_unique<Worker>(options, node, std::move(*requests),
                                 [cluster = self.get()](std::vector<Update>& updates, const Status& status) {
                                     cluster->tell(updates, status);
                                 });
    auto thread = start_thread(
        "kubernetes", [worker = self->worker_.get()](const std::stop_token& stop) { worker->run(stop); });
    if (!thread) return std::unexpected(std::move(thread.error()));
    self->thread_ = std::move(*thread);
    return self;
}

void Cluster::tell(std::vector<Update>& updates, const Status& status) {
    {
        const MutexLock lock(mutex_);
        std::move(updates.begin(), updates.end(), std::back_inserter(updates_));
        status_ = status;
        has_updates_.store(!updates_.empty(), std::memory_order_release);
    }
    // After what it is about: who reads it takes that.
    contact_.store(status.pods, std::memory_order_release);
}

void Cluster::take(Directory& directory) {
    if (!has_updates_.load(std::memory_order_acquire)) return;
    std::vector<Update> updates;
    {
        const MutexLock lock(mutex_);
        updates.swap(updates_);
        has_updates_.store(false, std::memory_order_release);
    }
    const uint64_t now = monotonic_nanos(), now_unix = unix_nanos();
    for (const Update& update : updates)
        directory.apply(update, now, now_unix);
}

Status Cluster::status() const {
    const MutexLock lock(mutex_);
    return status_;
}

}  // namespace tcptrail::cluster
