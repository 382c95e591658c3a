// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/transmitter.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/base/thread.h"
#include "agent/transmit/ping.h"

namespace tcptrail::transmit {
namespace {

// Ahead of the acknowledgements: enough for 100,000 events/s at 100 ms, and a bound for memory.
constexpr uint64_t max_window_bytes = 8u << 20;
constexpr uint64_t max_window_messages = 20'000;
// Of what is live there may be so much more on its way than of the backlog.
constexpr uint64_t live_reserve_bytes = 512u << 10;

constexpr int probe_timeout_ms = 1000;
constexpr auto longest_wait = std::chrono::milliseconds(1000);

// Without any report while messages are outstanding: nothing more is taken from the spool,
constexpr auto longest_unanswered = std::chrono::milliseconds(1000);
// and what librdkafka waits for in silence is asked for.
constexpr auto longest_silence = std::chrono::seconds(5);

// How long a new certificate, key or password is tried before it is used.
constexpr auto longest_try = std::chrono::milliseconds(3000);

constexpr uint32_t shrink_factor = 8;
constexpr auto smaller_batches_for = std::chrono::minutes(5);

size_t size_of(const spool::MessageView& message) {
    return message.key.size() + message.value.size();
}

std::string name_of(rd_kafka_resp_err_t error) {
    return rd_kafka_err2name(error);
}

}  // namespace

Transmitter::Transmitter(const Options& options, std::unique_ptr<spool::SpoolReader> reader)
    : options_(options), reader_(std::move(reader)) {}

Result<std::unique_ptr<Transmitter>> Transmitter::start(const Options& options,
                                                        std::unique_ptr<spool::SpoolReader> reader) {
    std::unique_ptr<Transmitter> self(new Transmitter(options, std::move(reader)));
    auto producer = Producer::create(self->options_, 0, self->reader_->wake_fd(), *self);
    if (!producer) return std::unexpected(producer.error());
    self->producer_ = std::move(*producer);
    self->full_batch_bytes_ = self->wanted_batch_bytes_ = self->producer_->batch_bytes();
    self->board_.clients.add();
    auto thread =
        start_thread("transmit", [transmitter = self.get()](const std::stop_token&) { transmitter->run(); });
    if (!thread) return std::unexpected(thread.error());
    self->thread_ = std::move(*thread);
    return self;
}

Transmitter::~Transmitter() {
    stop(std::chrono::milliseconds(0));
}

void Transmitter::stop(std::chrono::milliseconds deadline) {
    if (!thread_.joinable()) return;
    deadline_ = Clock::now() + deadline;
    stopping_ = true;
    const uint64_t one = 1;
    (void)!::write(reader_->wake_fd(), &one, sizeof(one));
    thread_.join();
}

void Transmitter::run() {
    for (;;) {
        now_ = Clock::now();
        if (producer_) producer_->poll();
        now_ = Clock::now();
        bool all_sent = false;
        const bool drained = fatal_ || outstanding() == 0;
        if (retry_at_) {
            if (drained && Clock::now() >= *retry_at_) retry();
        } else if (wanted_batch_bytes_ != producer_->batch_bytes()) {
            if (drained) replace_producer();
        } else {
            // One that is to be renewed gets nothing more.
            if (!replaced_file_.empty() && drained) renew_producer();
            if (replaced_file_.empty()) all_sent = feed();
            consider_larger_batches();
            explain_silence();
        }
        publish();
        if (stopping_ && ((all_sent && empty()) || Clock::now() >= deadline_.load())) break;
        wait();
    }
    producer_.reset();
    // What is not in the file must get there.
    reader_->give_back();
    publish();
}

// Sends what there is to send, what is live first. Returns whether that was all of it.
bool Transmitter::feed() {
    return std::ranges::all_of(spool::lanes, [this](spool::Lane lane) { return feed(lane); });
}

bool Transmitter::feed(spool::Lane lane) {
    bool held_back = false;
    while (Window::Item* item = next_item(lane, held_back)) {
        const auto error = producer_->send(Window::message(*item), item);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (outstanding() == 0) silent_since_ = now_;
            windows_[lane].sent(*item, now_);
            continue;
        }
        // Reports make room, and wake us.
        if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
        if (error == RD_KAFKA_RESP_ERR__FATAL) fatal_ = true;
        fail_item(*item, error, true);
        if (retry_at_) return false;
    }
    return !held_back;
}

// The next message of the lane's window, or of the spool as far as there is room. `held_back`: there may be
// more, and a report wakes us when it may be sent.
Window::Item* Transmitter::next_item(spool::Lane lane, bool& held_back) {
    Window& window = windows_[lane];
    for (;;) {
        held_back =
            outstanding_bytes() >= pace_.budget() + (lane == spool::Lane::live ? live_reserve_bytes : 0);
        if (held_back) return nullptr;
        if (Window::Item* item = window.next()) return item;
        held_back = !room(lane);
        if (held_back) return nullptr;
        auto batch = reader_->next(lane);
        if (!batch) {
            board_.failure(batch.error().message);
            return nullptr;
        }
        if (!*batch) return nullptr;
        if ((*batch)->messages.empty()) {
            reader_->release((*batch)->id);
            continue;
        }
        board_.taken.add((*batch)->messages.size());
        window.add(std::move(**batch));
        now_ = Clock::now();
    }
}

// A part of it is for what is live alone.
bool Transmitter::room(spool::Lane lane) const {
    uint64_t bytes = 0, messages = 0;
    for (spool::Lane each : spool::lanes) {
        bytes += windows_[each].bytes();
        messages += windows_[each].messages();
    }
    const uint64_t share = lane == spool::Lane::live ? 4 : 3;  // fourths
    return bytes < max_window_bytes / 4 * share && messages < max_window_messages / 4 * share && flows();
}

// Where nothing is acknowledged nothing more is taken: it would be ahead of what is live when that changes.
bool Transmitter::flows() const {
    return outstanding() == 0 || now_ < silent_since_ + pace_.shortest() + longest_unanswered;
}

bool Transmitter::empty() const {
    return std::ranges::all_of(spool::lanes, [this](spool::Lane lane) { return windows_[lane].empty(); });
}

uint64_t Transmitter::outstanding() const {
    return windows_[spool::Lane::live].outstanding() + windows_[spool::Lane::backlog].outstanding();
}

uint64_t Transmitter::outstanding_bytes() const {
    return windows_[spool::Lane::live].outstanding_bytes() +
           windows_[spool::Lane::backlog].outstanding_bytes();
}

void Transmitter::again() {
    for (spool::Lane lane : spool::lanes)
        windows_[lane].again();
}

void Transmitter::on_report(void* tag, rd_kafka_resp_err_t error) {
    auto& item = *static_cast<Window::Item*>(tag);
    silent_since_ = now_;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_item(item, error, false);
        return;
    }
    pace_.acknowledged(item.sent_at, now_, outstanding_bytes());
    board_.acknowledged.add();
    board_.connected = true;
    if (!retry_at_) {
        attempts_ = 0;
        board_.solved();
    }
    finish(item);
}

void Transmitter::finish(Window::Item& item) {
    if (auto id = windows_[item.entry->batch.lane].done(item)) reader_->release(*id);
}

// `alone`: librdkafka itself refused it, so no other message of its batch can be the reason.
void Transmitter::fail_item(Window::Item& item, rd_kafka_resp_err_t error, bool alone) {
    const spool::MessageView& message = Window::message(item);
    const std::string& topic = options_.topics[static_cast<size_t>(message.topic)];
    const Trouble trouble = classify(error);
    if (trouble == Trouble::too_large) {
        // A message that fills a batch had no company in it.
        if (alone || size_of(message) >= producer_->batch_bytes()) {
            board_.failure(
                fmt::format(
                    "topic {}: a message of {} bytes is larger than max.message.bytes allows: set aside",
                    topic, size_of(message)),
                name_of(error));
            board_.too_large.add();
            reader_->set_aside(item.entry->batch.id, message);
            finish(item);
            return;
        }
        wanted_batch_bytes_ = std::max(producer_->batch_bytes() / shrink_factor, 1u);
        changed_batch_at_ = Clock::now();
    }
    windows_[item.entry->batch.lane].failed(item);
    board_.failed.add();
    // After a fatal error each report repeats it; the first one has told more.
    if (!fatal_) board_.failure(explain(error, topic, options_.brokers), name_of(error));
    if (trouble == Trouble::missing_topic || error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        suspect_ = message.topic;
    plan_retry(trouble);
}

void Transmitter::on_error(rd_kafka_resp_err_t error, const std::string& reason) {
    // Where it was to be renewed and works no longer, what it has may never be reported.
    if (!replaced_file_.empty()) on_replaced(std::exchange(replaced_file_, {}), true);
    switch (error) {
        case RD_KAFKA_RESP_ERR__FATAL: {
            std::string why = reason;
            const auto cause = producer_->fatal_error(why);
            fatal_ = true;
            board_.failure("the Kafka client failed for good, a new one follows: " + why,
                           name_of(cause == RD_KAFKA_RESP_ERR_NO_ERROR ? error : cause));
            plan_retry(classify(cause));
            return;
        }
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
            // What was told of the single brokers before says why.
            board_.connected = false;
            return;
        default:
            if (classify(error) == Trouble::forbidden) board_.connected = false;
            board_.failure(reason, name_of(error));
    }
}

void Transmitter::on_replaced(const std::string& file, bool troubled) {
    if (fatal_) return;
    if (!troubled) {
        replaced_file_ = file;
        return;
    }
    if (auto usable = check_client(options_); !usable) {
        not_renewed(file, usable.error().message);
        return;
    }
    // What is outstanding has nobody to report it.
    fatal_ = true;
    board_.failure(file + " was replaced: a new Kafka client follows");
    plan_retry(Trouble::passing);
}

void Transmitter::plan_retry(Trouble trouble) {
    const auto delay = retry_delay(trouble, retry_at_ ? attempts_ - 1 : attempts_);
    if (!retry_at_) attempts_++;
    if (retry_at_ && delay <= retry_delay_) return;
    retry_delay_ = delay;
    retry_at_ = Clock::now() + delay;
}

void Transmitter::retry() {
    if (suspect_ && producer_ && !fatal_) {
        // A client that has found a topic missing or forbidden learns only by asking that it no longer is.
        const auto error = producer_->probe(*suspect_, probe_timeout_ms).error;
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            board_.failure(explain(error, options_.topics[static_cast<size_t>(*suspect_)], options_.brokers),
                           name_of(error));
            retry_at_.reset();
            plan_retry(classify(error));
            return;
        }
    }
    if (fatal_ || !producer_ || wanted_batch_bytes_ != producer_->batch_bytes())
        if (!replace_producer()) return;
    retry_at_.reset();
    suspect_.reset();
    again();
}

// A new producer in place of the old one; what that has not reported is sent again.
bool Transmitter::replace_producer() {
    // What it has still to say is heard first.
    if (producer_) producer_->poll();
    producer_.reset();
    for (spool::Lane lane : spool::lanes)
        windows_[lane].forget_sent();
    again();
    fatal_ = false;
    replaced_file_.clear();
    auto producer = Producer::create(options_, wanted_batch_bytes_, reader_->wake_fd(), *this);
    retry_at_.reset();
    if (!producer) {
        board_.failure(producer.error().message);
        plan_retry(Trouble::forbidden);
        return false;
    }
    producer_ = std::move(*producer);
    board_.clients.add();
    return true;
}

// The producer works and nothing is outstanding: another one takes its place if the brokers take that.
void Transmitter::renew_producer() {
    const std::string file = std::exchange(replaced_file_, {});
    if (auto taken = try_client(options_, longest_try); !taken) {
        not_renewed(file, taken.error().message);
        return;
    }
    auto producer = Producer::create(options_, wanted_batch_bytes_, reader_->wake_fd(), *this);
    if (!producer) {
        not_renewed(file, producer.error().message);
        return;
    }
    producer_ = std::move(*producer);
    board_.clients.add();
    board_.renewed(file + " was replaced: the new one is in use");
}

void Transmitter::not_renewed(const std::string& file, const std::string& why) {
    board_.not_renewed(
        file + " was replaced, and what was there before stays in use, for the new one does not do: " + why);
}

// After a while the brokers' limit may have been raised again, or the one message that was too large be gone.
void Transmitter::consider_larger_batches() {
    if (wanted_batch_bytes_ >= full_batch_bytes_ || Clock::now() < changed_batch_at_ + smaller_batches_for)
        return;
    wanted_batch_bytes_ = full_batch_bytes_ / shrink_factor < wanted_batch_bytes_
                              ? full_batch_bytes_
                              : wanted_batch_bytes_ * shrink_factor;
    changed_batch_at_ = Clock::now();
}

// librdkafka tries for ever, as it should, and does not say at what: a topic that it may not see, too few
// replicas, a broker that is frozen.
void Transmitter::explain_silence() {
    const auto now = Clock::now();
    if (outstanding() == 0 || now < std::max(silent_since_, asked_at_) + longest_silence) return;
    asked_at_ = now;
    const Window& window =
        windows_[windows_[spool::Lane::live].empty() ? spool::Lane::backlog : spool::Lane::live];
    const Topic topic = Window::message(window.oldest()).topic;
    const auto [error, shortage] = producer_->probe(topic, probe_timeout_ms);
    // librdkafka's own errors are negative: no broker has answered.
    if (error < 0) board_.connected = false;
    if (error > 0)
        board_.failure(explain(error, options_.topics[static_cast<size_t>(topic)], options_.brokers),
                       name_of(error));
    else if (!shortage.empty())  // it says more than that the other brokers cannot be reached
        board_.failure("the brokers do not acknowledge what is sent: " + shortage + " (min.insync.replicas)");
    else if (!board_.troubled())
        board_.failure(error < 0 ? "the brokers do not answer: check kafka.brokers, and the network to them"
                                 : "the brokers do not acknowledge what is sent: their own logs say why",
                       error < 0 ? name_of(error) : "");
}

// Until there is a report, a batch, a stop, or time to try again.
void Transmitter::wait() {
    auto until = Clock::now() + longest_wait;
    if (retry_at_ && (fatal_ || outstanding() == 0)) until = std::min(until, *retry_at_);
    if (stopping_) until = std::min(until, deadline_.load());
    const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    pollfd waiting{reader_->wake_fd(), POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(std::max<int64_t>(timeout.count(), 0))) > 0) {
        // Emptied before the work is looked for, so that nothing that comes later is missed.
        uint64_t count = 0;
        (void)!read(waiting.fd, &count, sizeof(count));
    }
}

void Transmitter::publish() {
    board_.queued.set(outstanding());
}

}  // namespace tcptrail::transmit
