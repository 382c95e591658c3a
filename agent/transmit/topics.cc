// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/topics.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>
#include <utility>

#include "agent/transmit/trouble.h"

namespace tcptrail::transmit {
namespace {

constexpr int64_t day_ms = 24 * 3600 * 1000;
constexpr Milliseconds metadata_interval(100);

using Settings = std::map<std::string, std::string>;

AdminOptionsPtr admin_options(rd_kafka_t* client, rd_kafka_admin_op_t operation, Milliseconds timeout) {
    AdminOptionsPtr options(rd_kafka_AdminOptions_new(client, operation));
    const int ms = static_cast<int>(timeout.count());
    rd_kafka_AdminOptions_set_request_timeout(options.get(), ms, nullptr, 0);
    return options;
}

// The answer to the one request of a queue.
Result<EventPtr> answer(Session& session, rd_kafka_queue_t* queue, Milliseconds timeout,
                        const std::string& what) {
    // librdkafka's own timer ends it; the second more lets it.
    EventPtr event(rd_kafka_queue_poll(queue, static_cast<int>(timeout.count()) + 1000));
    if (!event) return session.failed(what, "no answer");
    if (rd_kafka_event_error(event.get()))
        return session.failed(what, rd_kafka_event_error_string(event.get()));
    return event;
}

Result<NewTopicPtr> new_topic(const WantedTopic& wanted, std::optional<int> replication_factor) {
    char reason[256];
    NewTopicPtr topic(rd_kafka_NewTopic_new(wanted.name.c_str(), wanted.partitions,
                                            replication_factor.value_or(-1), reason, sizeof(reason)));
    if (!topic) return fail(fmt::format("topic {}: {}", wanted.name, reason));
    for (const auto& [name, value] : wanted.settings)
        rd_kafka_NewTopic_set_config(topic.get(), name.c_str(), value.c_str());
    return topic;
}

// Asks for all topics to be made; returns the names of those that were.
Result<std::vector<std::string>> create(Session& session, const std::vector<WantedTopic>& wanted,
                                        std::optional<int> replication_factor, Milliseconds timeout) {
    std::vector<NewTopicPtr> owned;
    std::vector<rd_kafka_NewTopic_t*> topics;
    for (const WantedTopic& topic : wanted) {
        auto made = new_topic(topic, replication_factor);
        if (!made) return std::unexpected(made.error());
        topics.push_back(made->get());
        owned.push_back(std::move(*made));
    }
    auto options = admin_options(session.get(), RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout);
    // The brokers answer when the topics can be used.
    rd_kafka_AdminOptions_set_operation_timeout(options.get(), static_cast<int>(timeout.count()), nullptr, 0);
    QueuePtr queue(rd_kafka_queue_new(session.get()));
    rd_kafka_CreateTopics(session.get(), topics.data(), topics.size(), options.get(), queue.get());
    auto event = answer(session, queue.get(), timeout, "cannot create topics");
    if (!event) return std::unexpected(event.error());

    size_t count = 0;
    const auto* results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
    std::vector<std::string> created;
    for (const rd_kafka_topic_result_t* result : std::span(results, count)) {
        const auto error = rd_kafka_topic_result_error(result);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            created.emplace_back(rd_kafka_topic_result_name(result));
        } else if (error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            const char* text = rd_kafka_topic_result_error_string(result);
            const std::string right = needed_right(error, "Create");
            return fail(fmt::format("cannot create topic {}: {}{}", rd_kafka_topic_result_name(result),
                                    text && *text && right.empty() ? text : rd_kafka_err2str(error), right));
        }
    }
    return created;
}

Result<Settings> read_settings(Session& session, const std::string& topic, Milliseconds timeout) {
    const std::string what = fmt::format("cannot read the settings of topic {}", topic);
    ConfigResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    rd_kafka_ConfigResource_t* asked = resource.get();
    auto options = admin_options(session.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout);
    QueuePtr queue(rd_kafka_queue_new(session.get()));
    rd_kafka_DescribeConfigs(session.get(), &asked, 1, options.get(), queue.get());
    auto event = answer(session, queue.get(), timeout, what);
    if (!event) return std::unexpected(event.error());

    size_t count = 0;
    const auto* resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event->get()), &count);
    Settings settings;
    for (const rd_kafka_ConfigResource_t* result : std::span(resources, count)) {
        if (const auto error = rd_kafka_ConfigResource_error(result); error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(fmt::format("{}: {}{}", what, rd_kafka_err2str(error),
                                    needed_right(error, "DescribeConfigs")));
        size_t entries = 0;
        const auto* list = rd_kafka_ConfigResource_configs(result, &entries);
        for (const rd_kafka_ConfigEntry_t* entry : std::span(list, entries)) {
            const char* value = rd_kafka_ConfigEntry_value(entry);
            settings[rd_kafka_ConfigEntry_name(entry)] = value ? value : "";
        }
    }
    return settings;
}

// A topic that exists, against what is wanted.
std::vector<std::string> differences(Session& session, const WantedTopic& wanted,
                                     const rd_kafka_metadata_topic_t& topic, Milliseconds timeout) {
    std::vector<std::string> found;
    if (topic.partition_cnt != wanted.partitions)
        found.push_back(fmt::format("topic {} has {} partitions; {} are wanted", wanted.name,
                                    topic.partition_cnt, wanted.partitions));
    auto settings = read_settings(session, wanted.name, timeout);
    if (!settings) {
        found.push_back(settings.error().message);
        return found;
    }
    for (const auto& [name, value] : wanted.settings)
        if (const std::string& have = (*settings)[name]; have != value)
            found.push_back(fmt::format("topic {} has {}={}; {} is wanted", wanted.name, name, have, value));
    return found;
}

Result<std::vector<TopicReport>> compare(Session& session, const std::vector<WantedTopic>& wanted,
                                         Milliseconds timeout) {
    auto metadata = session.metadata(timeout);
    if (!metadata) return std::unexpected(metadata.error());
    const std::span topics((*metadata)->topics, static_cast<size_t>((*metadata)->topic_cnt));
    std::vector<TopicReport> reports;
    for (const WantedTopic& topic : wanted) {
        TopicReport report{.topic = topic.name, .exists = false, .created = false, .differences = {}};
        auto found =
            std::find_if(topics.begin(), topics.end(), [&topic](const rd_kafka_metadata_topic_t& candidate) {
                return topic.name == candidate.topic &&
                       candidate.err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            });
        if (found == topics.end()) {
            report.differences.push_back(
                fmt::format("topic {} does not exist, or Describe on it is not granted", topic.name));
        } else {
            report.exists = true;
            report.differences = differences(session, topic, *found, timeout);
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

}  // namespace

std::vector<WantedTopic> wanted_topics(const Options& options) {
    auto topic = [&options](Topic which, int32_t partitions, int64_t retention_days) -> WantedTopic {
        return {options.topics[static_cast<size_t>(which)],
                partitions,
                {
                    {"cleanup.policy", "delete"},
                    // As the agent compressed it: the brokers need not do it again.
                    {"compression.type", "producer"},
                    {"retention.ms", std::to_string(retention_days * day_ms)},
                }};
    };
    return {topic(Topic::connections, 6, 7), topic(Topic::agents, 1, 30)};
}

Result<std::vector<TopicReport>> check_topics(const Options& options, Milliseconds timeout) {
    auto session = Session::open(options, Role::admin);
    if (!session) return std::unexpected(session.error());
    return compare(**session, wanted_topics(options), timeout);
}

Result<std::vector<TopicReport>> create_topics(const Options& options, std::optional<int> replication_factor,
                                               Milliseconds timeout) {
    auto session = Session::open(options, Role::admin);
    if (!session) return std::unexpected(session.error());
    const auto wanted = wanted_topics(options);
    auto created = create(**session, wanted, replication_factor, timeout);
    if (!created) return std::unexpected(created.error());
    // A broker says that a topic is made before it, and the others, know the topic: a moment later, or some
    // seconds after it has started.
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        auto reports = compare(**session, wanted, timeout);
        if (!reports) return reports;
        for (TopicReport& report : *reports)
            report.created = std::ranges::find(*created, report.topic) != created->end();
        const bool known = std::ranges::all_of(*reports, [](const TopicReport& report) {
            return report.exists && (!report.created || report.differences.empty());
        });
        if (known || std::chrono::steady_clock::now() >= deadline) return reports;
        std::this_thread::sleep_for(metadata_interval);
    }
}

}  // namespace tcptrail::transmit
