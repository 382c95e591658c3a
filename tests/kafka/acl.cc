// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/acl.h"

#include <librdkafka/rdkafka.h>

#include <array>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <utility>

namespace tests {
namespace {

constexpr int timeout_ms = 10'000;

template <auto destroy>
struct Destroy {
    void operator()(auto* what) const { destroy(what); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Reply = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using Binding = std::unique_ptr<rd_kafka_AclBinding_t, Destroy<rd_kafka_AclBinding_destroy>>;

using Text = std::array<char, 512>;

Client connect(const std::string& brokers) {
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

void require_success(const rd_kafka_error_t* error) {
    if (error != nullptr) throw std::runtime_error(rd_kafka_error_string(error));
}

}  // namespace

AccessRule::AccessRule(std::string brokers, std::string topic, Access access)
    : brokers_(std::move(brokers)), topic_(std::move(topic)) {
    const Client client = connect(brokers_);
    Text why{};
    const bool visible = access == Access::describe;
    const Binding binding(rd_kafka_AclBinding_new(
        RD_KAFKA_RESOURCE_TOPIC, topic_.c_str(), RD_KAFKA_RESOURCE_PATTERN_LITERAL, "User:*", "*",
        visible ? RD_KAFKA_ACL_OPERATION_DESCRIBE : RD_KAFKA_ACL_OPERATION_ALL,
        visible ? RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW : RD_KAFKA_ACL_PERMISSION_TYPE_DENY, why.data(),
        why.size()));
    if (!binding) throw std::runtime_error(why.data());
    rd_kafka_AclBinding_t* bindings[] = {binding.get()};
    const Reply reply = answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_CreateAcls(client.get(), bindings, std::size(bindings), nullptr, queue);
    });
    size_t count = 0;
    const auto* const results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(reply.get()), &count);
    for (size_t i = 0; i < count; i++)
        require_success(rd_kafka_acl_result_error(results[i]));
    in_force_ = true;
}

AccessRule::~AccessRule() {
    try {
        lift();
    } catch (const std::exception& error) {
        std::cerr << "the access rule of " << topic_ << " stays: " << error.what() << '\n';
    }
}

void AccessRule::lift() {
    if (!std::exchange(in_force_, false)) return;
    const Client client = connect(brokers_);
    Text why{};
    const Binding filter(rd_kafka_AclBindingFilter_new(
        RD_KAFKA_RESOURCE_TOPIC, topic_.c_str(), RD_KAFKA_RESOURCE_PATTERN_LITERAL, nullptr, nullptr,
        RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, why.data(), why.size()));
    if (!filter) throw std::runtime_error(why.data());
    rd_kafka_AclBindingFilter_t* filters[] = {filter.get()};
    const Reply reply = answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_DeleteAcls(client.get(), filters, std::size(filters), nullptr, queue);
    });
    size_t count = 0;
    const auto* const results =
        rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(reply.get()), &count);
    for (size_t i = 0; i < count; i++)
        require_success(rd_kafka_DeleteAcls_result_response_error(results[i]));
}

}  // namespace tests
