// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "agent/base/error.h"
#include "agent/spool/reader.h"
#include "agent/transmit/options.h"
#include "agent/transmit/pace.h"
#include "agent/transmit/producer.h"
#include "agent/transmit/status.h"
#include "agent/transmit/trouble.h"
#include "agent/transmit/window.h"

namespace tcptrail::transmit {

// Owns the transmit thread, which takes batches from the spool, hands their messages to Kafka, and releases a
// batch once all of it is stored there. README.md tells what is promised, and how.
class Transmitter final : ProducerListener {
public:
    // Does not wait for a broker. The error is one of configuration.
    static Result<std::unique_ptr<Transmitter>> start(const Options& options,
                                                      std::unique_ptr<spool::SpoolReader> reader);
    // As stop() without time.
    ~Transmitter();

    // Delivers what the spool still holds, as far as it goes within `deadline`, and ends the thread. The rest
    // stays in the spool. Then Spool::maintain() deletes what was delivered. Takes up to a second more when
    // the brokers are out of reach.
    void stop(std::chrono::milliseconds deadline);

    // Any thread.
    TransmitStatus status() const { return board_.snapshot(); }

private:
    using Clock = std::chrono::steady_clock;

    Transmitter(const Options& options, std::unique_ptr<spool::SpoolReader> reader);
    void on_report(void* tag, rd_kafka_resp_err_t error) override;
    void on_error(rd_kafka_resp_err_t error, const std::string& reason) override;
    void on_replaced(const std::string& file, bool troubled) override;

    void run();
    bool feed();
    bool feed(spool::Lane lane);
    Window::Item* next_item(spool::Lane lane, bool& held_back);
    bool room(spool::Lane lane) const;
    bool flows() const;
    bool empty() const;
    uint64_t outstanding() const;
    uint64_t outstanding_bytes() const;
    void again();
    void finish(Window::Item& item);
    void fail_item(Window::Item& item, rd_kafka_resp_err_t error, bool alone);
    void plan_retry(Trouble trouble);
    void retry();
    bool replace_producer();
    void renew_producer();
    void not_renewed(const std::string& file, const std::string& why);
    void consider_larger_batches();
    void explain_silence();
    void wait();
    void publish();

    const Options options_;
    std::unique_ptr<spool::SpoolReader> reader_;
    StatusBoard board_;
    spool::PerLane<Window> windows_;
    Pace pace_;
    std::unique_ptr<Producer> producer_;

    // Set while something failed: nothing new is sent before that is sent again.
    std::optional<Clock::time_point> retry_at_;
    std::chrono::milliseconds retry_delay_{0};  // the longest that a failure since the last retry asked for
    unsigned attempts_ = 0;                     // failed in a row
    std::optional<Topic> suspect_;              // to ask the brokers about before the retry
    bool fatal_ = false;                        // the producer can do no more

    std::string replaced_file_;        // a new producer, made from it, follows once nothing is outstanding
    Clock::time_point asked_at_;       // what is waited for in silence
    Clock::time_point now_;            // of this turn, or of the last batch: one look for many messages
    Clock::time_point silent_since_;   // when messages were outstanding, and the last report came
    uint32_t full_batch_bytes_ = 0;    // as configured
    uint32_t wanted_batch_bytes_ = 0;  // when not the producer's, it is replaced once nothing is outstanding
    Clock::time_point changed_batch_at_;

    std::atomic<bool> stopping_ = false;
    std::atomic<Clock::time_point> deadline_ = Clock::time_point::max();
    std::jthread thread_;
};

}  // namespace tcptrail::transmit
