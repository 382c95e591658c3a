// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's admin calls. What the broker refuses is thrown, as std::runtime_error with its own words.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>

namespace tests::admin {

constexpr int timeout_ms = 10'000;

template <auto destroy>
struct Destroy {
    void operator()(auto* what) const { destroy(what); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Reply = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;

using Text = std::array<char, 512>;

inline Client connect(const std::string& brokers) {
    Text why{};
    rd_kafka_conf_t* const settings = rd_kafka_conf_new();
    rd_kafka_conf_set(settings, "bootstrap.servers", brokers.c_str(), why.data(), why.size());
    Client client(rd_kafka_new(RD_KAFKA_PRODUCER, settings, why.data(), why.size()));
    if (!client) throw std::runtime_error(why.data());
    return client;
}

// The reply to what `ask` puts into the queue.
template <class Ask>
Reply answer(rd_kafka_t* client, const Ask& ask) {
    const Queue queue(rd_kafka_queue_new(client));
    ask(queue.get());
    Reply reply(rd_kafka_queue_poll(queue.get(), timeout_ms));
    if (!reply) throw std::runtime_error("the broker does not answer");
    if (rd_kafka_event_error(reply.get()) != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw std::runtime_error(rd_kafka_event_error_string(reply.get()));
    return reply;
}

inline void require_success(const rd_kafka_error_t* error) {
    if (error != nullptr) throw std::runtime_error(rd_kafka_error_string(error));
}

}  // namespace tests::admin
