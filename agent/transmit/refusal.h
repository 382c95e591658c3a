// SPDX-License-Identifier: Apache-2.0
//
// Why a broker and a client do not come together: TLS, certificates, credentials.
#pragma once

#include <librdkafka/rdkafka.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/mutex.h"

namespace tcptrail::transmit {

// What librdkafka says of a broker, without what differs from one try to the next, so that the same trouble
// has the same words; where the cause is known, with what it means and what to do. `certificate_error`:
// OpenSSL's reason to refuse the broker's certificate, which librdkafka does not tell; 0: none.
std::string explain_refusal(std::string_view reason, int certificate_error, int librdkafka_version);

// Spaces out what is tried at a broker whose TLS fails: librdkafka 2.0.2 tries it twice a second, for ever.
// Any thread.
class RetryGate {
public:
    using Clock = std::chrono::steady_clock;

    // `longest`: between two tries; the first pauses are 1 s, 2 s, 4 s …
    void set_longest(std::chrono::milliseconds longest) { longest_ = longest; }

    // `broker`: host:port.
    void failed(std::string_view broker, Clock::time_point now);
    bool may_try(std::string_view broker, Clock::time_point now) const;
    void open();  // all brokers

private:
    struct Broker {
        unsigned failures = 0;
        Clock::time_point not_before;
    };

    std::atomic<std::chrono::milliseconds> longest_ = std::chrono::milliseconds(10'000);
    mutable Mutex mutex_;
    std::map<std::string, Broker, std::less<>> brokers_ GUARDED_BY(mutex_);
};

// Whose address is the opaque pointer of a client's configuration, and outlives the client.
class ClientOwner {
public:
    // Has the owner hear why a broker's certificate is refused, and makes connections pass the gate. Changes
    // nothing in what is refused.
    void watch(rd_kafka_conf_t* conf);

    // A broker's trouble in words for the user, as above; nothing when there is no news in it: it is the
    // gate's own. Closes the gate when it is one of TLS.
    std::optional<std::string> explain(const char* reason);

    void connected() { gate_.open(); }

protected:
    ~ClientOwner() = default;

private:
    static int on_certificate(rd_kafka_t*, const char*, int32_t, int* error, int, const char*, size_t, char*,
                              size_t, void* opaque);
    static int on_connect(int socket, const sockaddr* address, int size, const char* broker, void* opaque);

    std::atomic<int> certificate_error_ = 0;  // the last one; written by librdkafka's threads
    RetryGate gate_;
};

}  // namespace tcptrail::transmit
