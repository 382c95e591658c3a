// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/spool/batch.h"
#include "agent/transmit/client.h"
#include "agent/transmit/client_files.h"
#include "agent/transmit/options.h"
#include "agent/transmit/refusal.h"

namespace tcptrail::transmit {

// What a producer tells, from inside poll().
class ProducerListener {
public:
    // The fate of a message that send() took: acknowledged when `error` is none.
    virtual void on_report(void* tag, rd_kafka_resp_err_t error) = 0;
    // Trouble that is no message's own; `reason` is librdkafka's text, explained. RD_KAFKA_RESP_ERR__FATAL:
    // this producer can do no more.
    virtual void on_error(rd_kafka_resp_err_t error, const std::string& reason) = 0;
    // A certificate, key or secret that this producer was made from has been replaced: told now and then,
    // until this producer is. `troubled`: a broker has failed, and nothing was acknowledged since.
    virtual void on_replaced(const std::string& file, bool troubled) = 0;

protected:
    ~ProducerListener() = default;
};

// One idempotent librdkafka producer. Belongs to one thread.
class Producer : ClientOwner {
public:
    // `batch_bytes`: of one produce request's batch at most; 0: librdkafka's default. `wake_fd`: an eventfd
    // that is written to when poll() has something to tell. The listener outlives the producer.
    static Result<std::unique_ptr<Producer>> create(const Options& options, uint32_t batch_bytes, int wake_fd,
                                                    ProducerListener& listener);
    // Forgets what was not acknowledged, without a report.
    ~Producer();

    // Hands one message over. Its bytes must stay until its report. On an error no report follows.
    rd_kafka_resp_err_t send(const spool::MessageView& message, void* tag);

    // Serves all reports that are there; does not wait. To be called each second: it looks whether a
    // certificate, key or secret that this client was made from has been replaced.
    void poll();

    // Asks the brokers about a topic, and has the client learn the answer. Waits up to timeout_ms.
    struct TopicState {
        rd_kafka_resp_err_t error;
        std::string
            shortage;  // of replicas, in words: of the partition that lacks most; empty: there is none
    };
    TopicState probe(Topic topic, int timeout_ms);

    // The largest batch in force.
    uint32_t batch_bytes() const { return batch_bytes_; }
    // Of a producer that can do no more; RD_KAFKA_RESP_ERR_NO_ERROR otherwise.
    rd_kafka_resp_err_t fatal_error(std::string& reason) const;

private:
    using Clock = std::chrono::steady_clock;

    Producer(const Options& options, ProducerListener& listener)
        : options_(options), listener_(listener), files_(options) {}
    static void take_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque);
    static void take_error(rd_kafka_t*, int error, const char* reason, void* opaque);
    void look_at_files();
    HeadersPtr take_headers(size_t topic);
    void keep_headers(size_t topic, HeadersPtr headers);
    void keep_headers_of(const rd_kafka_message_t& message);

    const Options& options_;
    ProducerListener& listener_;
    ClientFiles files_;
    bool troubled_ = false;                     // since the last acknowledgement
    Clock::time_point looked_at_;               // the files
    std::optional<Clock::time_point> told_at_;  // that they are not what they were
    ClientPtr client_;
    std::array<TopicPtr, topic_count> topics_;
    std::array<HeadersPtr, topic_count> headers_;  // of each record of a topic
    std::array<std::vector<HeadersPtr>, topic_count> spare_headers_;
    uint32_t batch_bytes_ = 0;
    std::string framed_;
};

}  // namespace tcptrail::transmit
