// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's handles with their owners, and the one place where a client is configured.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/transmit/options.h"

namespace tcptrail::transmit {

template <auto destroy>
struct Destroy {
    void operator()(auto* handle) const { destroy(handle); }
};

using ConfPtr = std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>>;
using ClientPtr = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using TopicPtr = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using HeadersPtr = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;
using QueuePtr = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using ErrorPtr = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;
using MessagePtr = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;
using MetadataPtr = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using NewTopicPtr = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using ConfigResourcePtr =
    std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;
using AdminOptionsPtr = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;

enum class Role { producer, consumer, admin };

// A configuration from the agent's defaults for the role, then the user's properties and property files. The
// error names the property, and its value unless that is a secret; it has ExitCode::configuration.
Result<ConfPtr> make_conf(const Options& options, Role role);

// A client; its threads take no signals. Does not wait for a broker: an error is one of configuration.
Result<ClientPtr> make_client(ConfPtr conf, Role role);

// Makes a client of the options, which asks no broker, and ends it. The error is what is wrong with
// certificates, keys and credentials as they stand together; it has ExitCode::configuration.
Result<> check_client(Options options);

// sasl.mechanism in capitals; empty: not set.
std::string mechanism_of(const Options& options);

// What the user should be told before he looks for the fault elsewhere: a setting that cannot work with the
// librdkafka in use.
std::optional<std::string> client_warning(const Options& options);
// The same for any version, as rd_kafka_version() tells it.
std::optional<std::string> client_warning(const Options& options, int librdkafka_version);
// What such a librdkafka cannot do with Kafka 4, whatever the mechanism's size.
std::optional<std::string> scram_warning(int librdkafka_version, std::string_view mechanism = "SCRAM");

// Whether a property's value must not be shown, judged by its name.
bool is_secret(std::string_view property);

// Whether a property's value is the path of a file that a client reads when it is made: a certificate, a key,
// or the folder of certificates.
bool is_file_property(std::string_view property);

}  // namespace tcptrail::transmit
