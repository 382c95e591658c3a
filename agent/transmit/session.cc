// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/session.h"

#include <utility>

namespace tcptrail::transmit {

void Session::keep_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
    auto& session = static_cast<Session&>(*static_cast<ClientOwner*>(opaque));
    // "All brokers are down" says less than why the last of them is.
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !session.last_error_.empty()) return;
    if (auto text = session.explain(reason)) session.last_error_ = std::move(*text);
}

Result<std::unique_ptr<Session>> Session::open(const Options& options, Role role) {
    std::unique_ptr<Session> session(new Session());
    auto conf = make_conf(options, role);
    if (!conf) return std::unexpected(conf.error());
    rd_kafka_conf_set_opaque(conf->get(), static_cast<ClientOwner*>(session.get()));
    rd_kafka_conf_set_error_cb(conf->get(), keep_error);
    session->watch(conf->get());
    auto client = make_client(std::move(*conf), role);
    if (!client) return std::unexpected(client.error());
    session->client_ = std::move(*client);
    return session;
}

Result<MetadataPtr> Session::metadata(Milliseconds timeout, rd_kafka_topic_t* topic) {
    const rd_kafka_metadata_t* metadata = nullptr;
    const auto error =
        rd_kafka_metadata(get(), topic ? 0 : 1, topic, &metadata, static_cast<int>(timeout.count()));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed("no answer from the brokers", rd_kafka_err2str(error));
    return MetadataPtr(metadata);
}

std::unexpected<Error> Session::failed(const std::string& what, const std::string& error) {
    rd_kafka_poll(get(), 0);
    return fail(what + ": " + (last_error_.empty() ? error : last_error_));
}

}  // namespace tcptrail::transmit
