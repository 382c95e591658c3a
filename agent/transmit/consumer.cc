// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/consumer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "agent/transmit/framing.h"
#include "agent/transmit/trouble.h"

namespace tcptrail::transmit {
namespace {

constexpr int poll_ms = 100;
constexpr size_t messages_at_once = 512;

std::string_view view(const void* bytes, size_t size) {
    return {static_cast<const char*>(bytes), bytes ? size : 0};
}

void read_headers(const rd_kafka_message_t& message, Record& record) {
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        record.headers.emplace_back(name, view(value, size));
}

}  // namespace

Result<std::unique_ptr<Consumer>> Consumer::open(const Options& options, const Settings& settings,
                                                 Milliseconds timeout) {
    std::unique_ptr<Consumer> consumer(new Consumer(settings));
    auto session = Session::open(options, Role::consumer);
    if (!session) return std::unexpected(session.error());
    consumer->session_ = std::move(*session);
    rd_kafka_t* client = consumer->session_->get();
    consumer->topic_.reset(rd_kafka_topic_new(client, settings.topic.c_str(), nullptr));
    if (!consumer->topic_)
        return fail(fmt::format("topic {}: {}", settings.topic, rd_kafka_err2str(rd_kafka_last_error())));

    auto metadata = consumer->session_->metadata(timeout, consumer->topic_.get());
    if (!metadata) return std::unexpected(metadata.error());
    const rd_kafka_metadata_topic_t* topic = (*metadata)->topic_cnt == 1 ? (*metadata)->topics : nullptr;
    const auto error = topic ? topic->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(explain(error, settings.topic, options.brokers));
    for (const auto& partition : std::span(topic->partitions, static_cast<size_t>(topic->partition_cnt))) {
        Partition marks{partition.id, 0, 0};
        const auto failure =
            rd_kafka_query_watermark_offsets(client, settings.topic.c_str(), marks.id, &marks.low,
                                             &marks.high, static_cast<int>(timeout.count()));
        if (failure != RD_KAFKA_RESP_ERR_NO_ERROR)
            return consumer->session_->failed(
                fmt::format("topic {}, partition {}: cannot read its offsets", settings.topic, marks.id),
                rd_kafka_err2str(failure));
        consumer->partitions_.push_back(marks);
    }
    std::sort(consumer->partitions_.begin(), consumer->partitions_.end(),
              [](const Partition& a, const Partition& b) { return a.id < b.id; });
    if (auto done = consumer->begin(); !done) return std::unexpected(done.error());
    return consumer;
}

Result<> Consumer::begin() {
    queue_.reset(rd_kafka_queue_new(session_->get()));
    at_end_.assign(partitions_.size(), false);
    for (const Partition& partition : partitions_) {
        const auto given = settings_.from.find(partition.id);
        const int64_t from = given != settings_.from.end() ? given->second
                             : settings_.from_beginning    ? partition.low
                                                           : partition.high;
        if (rd_kafka_consume_start_queue(topic_.get(), partition.id, from, queue_.get()) != 0)
            return fail(fmt::format("topic {}, partition {}: {}", settings_.topic, partition.id,
                                    rd_kafka_err2str(rd_kafka_last_error())));
        started_++;
        reached(partition.id, from);
    }
    return {};
}

Consumer::~Consumer() {
    for (const Partition& partition : std::span(partitions_).first(started_))
        rd_kafka_consume_stop(topic_.get(), partition.id);
}

Result<Consumer::Ending> Consumer::run(const std::function<bool(const Record&)>& on_record,
                                       const std::atomic<bool>& stop, Time until) {
    std::vector<rd_kafka_message_t*> raw(messages_at_once);
    while (!stop) {
        while (!unread_.empty()) {
            const MessagePtr message = std::move(unread_.back());
            unread_.pop_back();
            auto more = serve(*message, on_record);
            if (!more) return std::unexpected(more.error());
            if (!*more) return Ending::taker;
            if (stop) return Ending::stopped;
        }
        if (settings_.to_end && std::find(at_end_.begin(), at_end_.end(), false) == at_end_.end())
            return Ending::reached_end;
        if (std::chrono::steady_clock::now() >= until) return Ending::time;
        const ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), poll_ms, raw.data(), raw.size());
        if (count < 0) return session_->failed("cannot read", rd_kafka_err2str(rd_kafka_last_error()));
        for (ssize_t i = count; i-- > 0;)
            unread_.emplace_back(raw[static_cast<size_t>(i)]);
        rd_kafka_poll(session_->get(), 0);
    }
    return Ending::stopped;
}

Result<bool> Consumer::serve(const rd_kafka_message_t& message,
                             const std::function<bool(const Record&)>& on_record) {
    if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        // The records up to a watermark need not be there: a transaction's marks have offsets too.
        reached(message.partition, message.offset);
        return true;
    }
    if (message.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return fail(fmt::format("topic {}, partition {}: what was to be read next has been removed: {}",
                                settings_.topic, message.partition, rd_kafka_message_errstr(&message)));
    if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(fmt::format("topic {}, partition {}: {}{}", settings_.topic, message.partition,
                                rd_kafka_message_errstr(&message), needed_right(message.err, "Read")));
    // A reader to the end stops there, though more may have come.
    const auto& marks = *std::find_if(partitions_.begin(), partitions_.end(),
                                      [&message](const Partition& p) { return p.id == message.partition; });
    if (settings_.to_end && message.offset >= marks.high) {
        reached(message.partition, message.offset);
        return true;
    }
    Record record;
    record.partition = message.partition;
    record.offset = message.offset;
    record.timestamp_unix_millis = rd_kafka_message_timestamp(&message, nullptr);
    record.key = view(message.key, message.key_len);
    record.value = strip_frame(view(message.payload, message.len));
    read_headers(message, record);
    const bool more = on_record(record);
    reached(message.partition, message.offset + 1);
    return more;
}

void Consumer::reached(int32_t partition, int64_t next) {
    for (size_t i = 0; i < partitions_.size(); i++)
        if (partitions_[i].id == partition && next >= partitions_[i].high) at_end_[i] = true;
}

}  // namespace tcptrail::transmit
