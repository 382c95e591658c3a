// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/producer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "agent/transmit/framing.h"

namespace tcptrail::transmit {
namespace {

constexpr auto file_interval = std::chrono::milliseconds(900);
// What was replaced is told once more after so long, where the listener made nothing of it,
constexpr auto tell_again = std::chrono::seconds(60);
// and where there is trouble.
constexpr auto tell_again_in_trouble = std::chrono::seconds(5);
// A megabyte; more are on their way at a time only where much is sent.
constexpr size_t most_spare_headers = 4096;

HeadersPtr headers_of(Topic topic) {
    HeadersPtr headers(rd_kafka_headers_new(2));
    auto add = [&headers](const char* name, std::string_view value) {
        rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
    };
    add("content-type", content_type(topic));
    add("schema-version", schema_version);
    return headers;
}

uint32_t configured_batch_bytes(const rd_kafka_conf_t* conf) {
    char text[32] = {};
    size_t size = sizeof(text);
    uint32_t value = 0;
    if (rd_kafka_conf_get(conf, "batch.size", text, &size) == RD_KAFKA_CONF_OK)
        std::from_chars(text, text + sizeof(text), value);
    return value;
}

// Where a broker is away it has no replica in sync, and where too few are left nothing is acknowledged.
std::string shortage_of(const rd_kafka_metadata_topic& topic) {
    const std::span partitions(topic.partitions, static_cast<size_t>(topic.partition_cnt));
    const auto worst = std::ranges::max_element(
        partitions, {}, [](const rd_kafka_metadata_partition& p) { return p.replica_cnt - p.isr_cnt; });
    if (worst == partitions.end() || worst->isr_cnt >= worst->replica_cnt) return {};
    return fmt::format("partition {} of {} has {} of {} replicas in sync", worst->id, topic.topic,
                       worst->isr_cnt, worst->replica_cnt);
}

}  // namespace

Result<std::unique_ptr<Producer>> Producer::create(const Options& options, uint32_t batch_bytes, int wake_fd,
                                                   ProducerListener& listener) {
    std::unique_ptr<Producer> producer(new Producer(options, listener));
    auto conf = make_conf(options, Role::producer);
    if (!conf) return std::unexpected(conf.error());
    if (batch_bytes > 0)
        rd_kafka_conf_set(conf->get(), "batch.size", std::to_string(batch_bytes).c_str(), nullptr, 0);
    producer->batch_bytes_ = configured_batch_bytes(conf->get());
    rd_kafka_conf_set_opaque(conf->get(), static_cast<ClientOwner*>(producer.get()));
    rd_kafka_conf_set_dr_msg_cb(conf->get(), take_report);
    rd_kafka_conf_set_error_cb(conf->get(), take_error);
    producer->watch(conf->get());

    auto client = make_client(std::move(*conf), Role::producer);
    if (!client) return std::unexpected(client.error());
    producer->client_ = std::move(*client);
    for (size_t topic = 0; topic < topic_count; topic++) {
        producer->topics_[topic].reset(
            rd_kafka_topic_new(producer->client_.get(), options.topics[topic].c_str(), nullptr));
        if (!producer->topics_[topic])
            return fail(fmt::format("kafka.topics: {}: {}", options.topics[topic],
                                    rd_kafka_err2str(rd_kafka_last_error())),
                        ExitCode::configuration);
        producer->headers_[topic] = headers_of(static_cast<Topic>(topic));
    }
    const uint64_t one = 1;
    QueuePtr reports(rd_kafka_queue_get_main(producer->client_.get()));
    rd_kafka_queue_io_event_enable(reports.get(), wake_fd, &one, sizeof(one));
    return producer;
}

Producer::~Producer() {
    if (!client_) return;
    // What is not purged would be waited for.
    rd_kafka_purge(client_.get(),
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    QueuePtr reports(rd_kafka_queue_get_main(client_.get()));
    rd_kafka_queue_io_event_enable(reports.get(), -1, nullptr, 0);
}

// A list belongs to one message, and takes four allocations; all of a topic are the same.
HeadersPtr Producer::take_headers(size_t topic) {
    auto& spare = spare_headers_[topic];
    if (spare.empty()) return HeadersPtr(rd_kafka_headers_copy(headers_[topic].get()));
    HeadersPtr headers = std::move(spare.back());
    spare.pop_back();
    return headers;
}

void Producer::keep_headers(size_t topic, HeadersPtr headers) {
    auto& spare = spare_headers_[topic];
    if (spare.size() < most_spare_headers) spare.push_back(std::move(headers));
}

// Of a message that is done with, and destroyed next.
void Producer::keep_headers_of(const rd_kafka_message_t& message) {
    rd_kafka_headers_t* headers = nullptr;
    const auto topic = std::ranges::find(topics_, message.rkt, &TopicPtr::get);
    if (topic == topics_.end() || rd_kafka_message_detach_headers(const_cast<rd_kafka_message_t*>(&message),
                                                                  &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    keep_headers(static_cast<size_t>(topic - topics_.begin()), HeadersPtr(headers));
}

void Producer::take_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& producer = static_cast<Producer&>(*static_cast<ClientOwner*>(opaque));
    producer.keep_headers_of(*message);
    rd_kafka_resp_err_t error = message->err;
    // With acks=all a report without an error says that it is stored; nothing less counts. Without an offset
    // it is only concluded from the success of a later batch (rd_kafka_dr_implicit_ack()), which a broker may
    // have taken although it refused this one: of a producer that it does not know it takes any number as the
    // first (KAFKA-14312, KAFKA-15591).
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR &&
        (rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_PERSISTED || message->offset < 0))
        error = RD_KAFKA_RESP_ERR__FAIL;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && std::exchange(producer.troubled_, false)) producer.connected();
    producer.listener_.on_report(message->_private, error);
}

void Producer::take_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
    auto& producer = static_cast<Producer&>(*static_cast<ClientOwner*>(opaque));
    producer.troubled_ = true;
    if (const auto text = producer.explain(reason))
        producer.listener_.on_error(static_cast<rd_kafka_resp_err_t>(error), *text);
}

void Producer::poll() {
    rd_kafka_poll(client_.get(), 0);
    look_at_files();
}

// librdkafka reads certificates, keys and passwords when a client is made, and never again.
void Producer::look_at_files() {
    const auto now = Clock::now();
    if (now < looked_at_ + file_interval) return;
    looked_at_ = now;
    const auto file = files_.replaced();
    if (!file) told_at_.reset();  // or something changes again
    if (!file || (told_at_ && now < *told_at_ + (troubled_ ? tell_again_in_trouble : tell_again))) return;
    told_at_ = now;
    listener_.on_replaced(*file, troubled_);
}

rd_kafka_resp_err_t Producer::send(const spool::MessageView& message, void* tag) {
    const auto topic = static_cast<size_t>(message.topic);
    std::string_view value = message.value;
    int flags = 0;
    if (options_.framing == Framing::confluent) {
        add_confluent_frame(options_.schema_ids[topic], message.value, framed_);
        value = framed_;
        flags = RD_KAFKA_MSG_F_COPY;
    }
    // A list of our own: with RD_KAFKA_VTYPE_HEADER a refused message's headers are freed twice
    // (librdkafka#4627).
    HeadersPtr headers = take_headers(topic);
    rd_kafka_vu_t parts[6];
    parts[0].vtype = RD_KAFKA_VTYPE_RKT;
    parts[0].u.rkt = topics_[topic].get();
    parts[1].vtype = RD_KAFKA_VTYPE_KEY;
    parts[1].u.mem = {const_cast<char*>(message.key.data()), message.key.size()};
    parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[2].u.mem = {const_cast<char*>(value.data()), value.size()};
    parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[3].u.i = flags;
    parts[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
    parts[4].u.ptr = tag;
    parts[5].vtype = RD_KAFKA_VTYPE_HEADERS;
    parts[5].u.headers = headers.get();
    ErrorPtr error(rd_kafka_produceva(client_.get(), parts, std::size(parts)));
    if (!error) {
        (void)headers.release();  // the message's now
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    keep_headers(topic, std::move(headers));
    return rd_kafka_error_code(error.get());
}

Producer::TopicState Producer::probe(Topic topic, int timeout_ms) {
    const rd_kafka_metadata_t* raw = nullptr;
    const auto error =
        rd_kafka_metadata(client_.get(), 0, topics_[static_cast<size_t>(topic)].get(), &raw, timeout_ms);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return {error, {}};
    MetadataPtr metadata(raw);
    if (metadata->topic_cnt != 1) return {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, {}};
    return {metadata->topics[0].err, shortage_of(metadata->topics[0])};
}

rd_kafka_resp_err_t Producer::fatal_error(std::string& reason) const {
    char text[512] = {};
    const auto error = rd_kafka_fatal_error(client_.get(), text, sizeof(text));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) reason = text;
    return error;
}

}  // namespace tcptrail::transmit
