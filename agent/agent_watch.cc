// SPDX-License-Identifier: Apache-2.0
//
// What the log is told of Kafka, the disk and the API server as it changes.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "agent/agent.h"
#include "agent/base/service.h"
#include "agent/log_events.h"

namespace tcptrail {
namespace {

// Why a service may not write there though root may; empty: it may, or it is no service.
std::string unit_forbids(const std::string& directory) {
    if (!service::has_manager()) return {};
    std::error_code error;
    std::filesystem::path place = directory;
    while (place.has_relative_path() && !std::filesystem::exists(place, error))
        place = place.parent_path();
    if (access(place.c_str(), W_OK) == 0 || (errno != EROFS && errno != EACCES)) return {};
    return fmt::format(
        "; the service may write where its unit says so and its user may: make {} this user's own, add "
        "ReadWritePaths={} by systemctl edit, and start it anew",
        directory, directory);
}

}  // namespace

// What lasts is told once; what comes and goes, as it is at that moment, every ten seconds at most.
void Agent::watch_kafka() {
    const transmit::TransmitStatus status = transmitter_->status();
    if (status.renewals != std::exchange(kafka_renewals_, status.renewals)) {
        if (status.renewal_failed)
            log_error(events::kafka_file_refused, "Kafka: " + status.renewal);
        else
            log_info(events::kafka_file_renewed, "Kafka: " + status.renewal);
    }
    if (status.problem == kafka_problem_ || !kafka_changes_.pass()) return;
    kafka_problem_ = status.problem;
    if (kafka_problem_.empty())
        log_info(events::kafka_acknowledges, "Kafka acknowledges again");
    else
        log_error(events::kafka_trouble,
                  "Kafka: " + kafka_problem_ + "; events are kept in " + config_.spool.directory +
                      " meanwhile, see tcptrail status",
                  {{"error", status.problem_error}, {"directory", config_.spool.directory}});
}

void Agent::tell_replaced(const spool::SpoolStats& stats) {
    if (stats.files_set_aside == std::exchange(spool_files_set_aside_, stats.files_set_aside)) return;
    log_error(
        events::spool_replaced,
        "the spool in " + config_.spool.directory +
            " could not be read; it was renamed (spool.db.corrupt-*) and a new one begun with what could "
            "be saved: check the disk, see tcptrail spool stat, and remove the old one",
        {{"directory", config_.spool.directory}});
}

void Agent::watch_spool() {
    const spool::SpoolStats stats = spool_->stats();
    tell_replaced(stats);
    if (stats.problem.empty() == spool_problem_.empty() && stats.in_memory == spool_in_memory_) return;
    if (!spool_changes_.pass()) return;
    const logging::Fields fields{{"directory", config_.spool.directory}};
    if (stats.in_memory)
        log_error(
            events::spool_in_memory,
            "spool: " + stats.problem +
                "; events are kept in memory, and delivered from there: mend the disk, which is tried again, "
                "or set another spool.directory" +
                unit_forbids(config_.spool.directory),
            fields);
    else if (spool_in_memory_)
        log_info(events::spool_on_disk, "spool: events are stored on the disk again", fields);
    if (!stats.in_memory && !stats.problem.empty())
        log_error(events::disk_nearly_full, "spool: " + stats.problem, fields);
    else if (stats.problem.empty() && !spool_in_memory_)
        log_info(events::disk_has_room, "spool: the disk has room again", fields);
    spool_problem_ = stats.problem;
    spool_in_memory_ = stats.in_memory;
}

// Nothing waits for it: events have what names are known.
void Agent::watch_api_server() {
    const cluster::Status status = pipeline_->context().cluster()->status();
    if (status.problem == api_server_problem_ || !api_server_changes_.pass()) return;
    api_server_problem_ = status.problem;
    if (api_server_problem_.empty())
        log_info(events::api_server_tells, "Kubernetes: the API server tells again what changes");
    else
        log_warning(events::api_server_trouble,
                    "Kubernetes: " + api_server_problem_ +
                        "; names of pods are as they were told last, new ones may be missing: check "
                        "kubernetes.api_server, its token and what that may list and watch",
                    {{"error", api_server_problem_}});
}

}  // namespace tcptrail
