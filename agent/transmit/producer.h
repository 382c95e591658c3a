// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/spool/batch.h"
#include "agent/transmit/client.h"
#include "agent/transmit/options.h"

namespace tcptrail::transmit {

// What a producer tells, from inside poll().
class ProducerListener {
public:
    // The fate of a message that send() took: acknowledged when `error` is none.
    virtual void on_report(void* tag, rd_kafka_resp_err_t error) = 0;
    // Trouble that is no message's own; `reason` is librdkafka's text.
    virtual void on_error(rd_kafka_resp_err_t error, const std::string& reason) = 0;

protected:
    ~ProducerListener() = default;
};

// One idempotent librdkafka producer. Belongs to one thread.
class Producer {
public:
    // `batch_bytes`: of one produce request's batch at most; 0: librdkafka's default. `wake_fd`: an eventfd
    // that is written to when poll() has something to tell. The listener outlives the producer.
    static Result<std::unique_ptr<Producer>> create(const Options& options, uint32_t batch_bytes, int wake_fd,
                                                    ProducerListener& listener);
    // Forgets what was not acknowledged, without a report.
    ~Producer();

    // Hands one message over. Its bytes must stay until its report. On an error no report follows.
    rd_kafka_resp_err_t send(const spool::MessageView& message, void* tag);

    // Serves all reports that are there; does not wait.
    void poll() { rd_kafka_poll(client_.get(), 0); }

    // Asks the brokers about a topic, and has the client learn the answer. Waits up to timeout_ms.
    rd_kafka_resp_err_t probe(Topic topic, int timeout_ms);

    // The largest batch in force.
    uint32_t batch_bytes() const { return batch_bytes_; }
    // Of a producer that can do no more; RD_KAFKA_RESP_ERR_NO_ERROR otherwise.
    rd_kafka_resp_err_t fatal_error(std::string& reason) const;

private:
    Producer(const Options& options, ProducerListener& listener) : options_(options), listener_(listener) {}

    const Options& options_;
    ProducerListener& listener_;
    ClientPtr client_;
    std::array<TopicPtr, topic_count> topics_;
    std::array<HeadersPtr, topic_count> headers_;  // of each record of a topic
    uint32_t batch_bytes_ = 0;
    std::string framed_;
};

}  // namespace tcptrail::transmit
