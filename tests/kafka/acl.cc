// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/acl.h"

#include <exception>
#include <iostream>
#include <utility>

#include "tests/kafka/admin.h"

namespace tests {
namespace {

using namespace admin;

using Binding = std::unique_ptr<rd_kafka_AclBinding_t, Destroy<rd_kafka_AclBinding_destroy>>;

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
