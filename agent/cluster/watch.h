// SPDX-License-Identifier: Apache-2.0
//
// Follows one resource of the API server: a list, and then what changes. Only what to ask next, and what the
// answer means; asking is requests.h's. Source: Kubernetes, "Efficient detection of changes" in its API
// concepts, and client-go's reflector, whose manners towards a server in trouble these are.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "agent/cluster/stream.h"

namespace tcptrail::cluster {

struct Request {
    std::string target;     // path and query
    uint32_t timeout_secs;  // for all of it
};

// How it came out, once all is there.
struct Answer {
    long status = 0;                // of HTTP; 0: there was none
    std::string error;              // of the transport, in words; empty: it came to its end
    uint32_t retry_after_secs = 0;  // the server's wish
};

enum class Contact : uint8_t {
    starting,     // nothing has come yet
    current,      // what the server knows, we know
    unreachable,  // it does not answer, or in error
    denied,       // it answers 401 or 403
};

// Times are CLOCK_MONOTONIC, nanoseconds. Used by one thread.
class Watch {
public:
    struct Handler {
        // A list begins anew: what does not come until its end is gone.
        std::function<void()> list_begins;
        std::function<void(const nlohmann::json& object)> put;
        std::function<void(const nlohmann::json& object)> removed;
        std::function<void()> list_ends;
    };

    // `path`: "/api/v1/pods". `selector`: "fieldSelector=…", or empty.
    Watch(std::string path, std::string selector, Handler handler, uint32_t seed);

    // What to ask now; to be followed by on_piece() and on_end(). Nothing: an answer is awaited, or it is not
    // due.
    std::optional<Request> next(uint64_t now_ns);
    uint64_t due_ns() const { return due_ns_; }
    // A piece of the answer's body; empty: only its status is known yet. False: no more of it is wanted.
    bool on_piece(long status, std::string_view piece);
    void on_end(const Answer& answer, uint64_t now_ns);

    Contact contact() const { return contact_; }
    // Why it is not current; empty: it is.
    const std::string& problem() const { return problem_; }
    uint64_t lists() const { return lists_; }
    uint64_t watches() const { return watches_; }
    uint64_t failures() const { return failures_; }

private:
    enum class Phase : uint8_t { list, watch };

    std::string list_target();
    bool on_event(std::string_view line);
    void on_list_end();
    void list_anew(bool from_etcd);
    void retry(Contact contact, std::string problem, uint64_t wait_secs, uint64_t now_ns);

    std::string path_, selector_;
    Handler handler_;
    std::minstd_rand random_;

    Phase phase_ = Phase::list;
    bool in_flight_ = false;
    bool is_expired_ = false;  // what was watched from is too old, or a page's token
    bool asks_etcd_ = false;   // for the list
    bool is_watch_ = false;    // the request in flight
    bool got_event_ = false;   // in this watch
    std::string version_;      // of all that is known
    std::string page_;         // token of the list's next page
    ListReader list_;
    LineReader lines_;
    std::string refusal_;  // body of an answer that is none
    std::string broken_;   // why the answer in flight was ended by us
    uint64_t began_ns_ = 0;
    uint64_t due_ns_ = 0;
    uint32_t failed_in_row_ = 0, expired_in_row_ = 0;  // since a watch has last told something

    Contact contact_ = Contact::starting;
    std::string problem_;
    uint64_t lists_ = 0, watches_ = 0, failures_ = 0;
};

}  // namespace tcptrail::cluster
