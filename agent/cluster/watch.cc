// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/watch.h"

#include <algorithm>
#include <utility>

#include "agent/base/utf8.h"
#include "agent/cluster/json.h"

namespace tcptrail::cluster {
namespace {

constexpr uint64_t nanos_per_second = 1'000'000'000;
constexpr uint32_t list_timeout_secs = 60;
// The server ends a watch after that time, so that load spreads over its replicas: client-go asks for the
// same.
constexpr uint32_t shortest_watch_secs = 300, longest_watch_secs = 600;
// What it may take longer before the connection is given up.
constexpr uint32_t watch_grace_secs = 30;
// client-go's, but for its longest of 30 s: 0.8 s, doubled up to 15 s, and up to as much again by chance. Ten
// thousand agents then ask once in 22.5 s each: 444 times a second.
constexpr uint64_t first_wait_ns = 800'000'000, longest_wait_ns = 15 * nanos_per_second;
// When a server starts, all agents' watches are too old in the same moment.
constexpr uint64_t longest_relist_wait_ns = 2 * nanos_per_second;
// Rights and tokens are mended by people, or by the kubelet within a minute or two.
constexpr uint64_t denied_wait_secs = 15;
constexpr size_t longest_refusal = 4096, longest_problem = 500;
constexpr long http_ok = 200, http_unauthorized = 401, http_forbidden = 403, http_gone = 410,
               http_timeout = 504;
constexpr int page_size = 500;

// On one line, and not for ever: without what is no UTF-8, and control characters, the ones of U+0080 to
// U+009F too.
std::string shortened(std::string_view text) {
    std::string line;
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        const bool controls = byte < ' ' || byte == 0x7f ||
                              (length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
        if (line.size() + length > longest_problem) break;
        if (!controls) line += text.substr(0, length);
        text.remove_prefix(std::max<size_t>(length, 1));
    }
    return line;
}

// The message of a Status, or the first line of the text.
std::string message_in(const std::string& body) {
    if (const auto status = parse_json(body))
        if (const std::string message = string_in(*status, "message"); !message.empty())
            return shortened(message);
    return shortened(std::string_view(body).substr(0, body.find('\n')));
}

std::string url_escaped(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string escaped;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_' || c == '.' || c == '~';
        if (plain)
            escaped += c;
        else
            (escaped += '%').append({digits[byte >> 4], digits[byte & 15]});
    }
    return escaped;
}

}  // namespace

Watch::Watch(std::string path, std::string selector, Handler handler, uint32_t seed)
    : path_(std::move(path)),
      selector_(std::move(selector)),
      handler_(std::move(handler)),
      random_(seed ? seed : 1) {}

// At first "0": what the server has in memory, however old; it is current a moment later, by the watch. Later
// nothing older than what is known. Only where the server has not that either etcd is asked, in pages.
std::string Watch::list_target() {
    std::string target = path_ + "?";
    if (asks_etcd_)
        target +=
            "limit=" + std::to_string(page_size) + (page_.empty() ? "" : "&continue=" + url_escaped(page_));
    else
        target += "resourceVersion=" + (version_.empty() ? "0" : url_escaped(version_));
    return target + (selector_.empty() ? "" : "&" + selector_);
}

std::optional<Request> Watch::next(uint64_t now_ns) {
    if (in_flight_ || now_ns < due_ns_) return std::nullopt;
    in_flight_ = true;
    began_ns_ = now_ns;
    refusal_.clear();
    broken_.clear();
    got_event_ = false;
    is_watch_ = phase_ == Phase::watch;
    if (!is_watch_) {
        ++lists_;
        list_ = {};
        if (page_.empty()) handler_.list_begins();
        return Request{list_target(), list_timeout_secs};
    }
    ++watches_;
    lines_ = {};
    const uint32_t secs =
        std::uniform_int_distribution<uint32_t>(shortest_watch_secs, longest_watch_secs)(random_);
    return Request{path_ + "?watch=1&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(secs) +
                       "&resourceVersion=" + url_escaped(version_) +
                       (selector_.empty() ? "" : "&" + selector_),
                   secs + watch_grace_secs};
}

bool Watch::on_piece(long status, std::string_view piece) {
    if (status != http_ok) {
        refusal_ += piece.substr(0, longest_refusal - std::min(longest_refusal, refusal_.size()));
        return true;
    }
    if (phase_ == Phase::watch) {
        contact_ = Contact::current;
        problem_.clear();
        if (lines_.feed(piece, [this](std::string_view line) { return on_event(line); })) return true;
        if (broken_.empty()) broken_ = "a line of its watch is too long";
        return false;
    }
    const bool good = list_.feed(piece, [this](std::string_view item) {
        const auto object = parse_json(item);
        if (object) handler_.put(*object);
        return object.has_value();
    });
    if (!good) broken_ = "what it sent is no list in JSON";
    return good;
}

bool Watch::on_event(std::string_view line) {
    const auto event = parse_json(line);
    if (!event) {
        broken_ = "what it sent is no event in JSON";
        return false;
    }
    const std::string type = string_in(*event, "type");
    const Json& object = member_of(*event, "object");
    if (type == "ERROR") {
        const Json& code = member_of(object, "code");
        if (code.is_number_integer() && code.get<int>() == http_gone) list_anew(expired_in_row_ > 0);
        broken_ = "its watch ended: " + shortened(string_in(object, "message"));
        return false;
    }
    got_event_ = true;
    if (type == "ADDED" || type == "MODIFIED")
        handler_.put(object);
    else if (type == "DELETED")
        handler_.removed(object);
    if (std::string version = string_in(member_of(object, "metadata"), "resourceVersion"); !version.empty())
        version_ = std::move(version);
    return true;
}

void Watch::list_anew(bool from_etcd) {
    phase_ = Phase::list;
    page_.clear();
    is_expired_ = true;
    asks_etcd_ = from_etcd;
}

void Watch::on_list_end() {
    const auto rest = parse_json(list_.rest());
    const Json& metadata = rest ? member_of(*rest, "metadata") : member_of({}, "");
    std::string version = string_in(metadata, "resourceVersion");
    if (version.empty()) {
        broken_ = "what it sent is no list in JSON";
        return;
    }
    page_ = string_in(metadata, "continue");
    if (!page_.empty()) return;
    version_ = std::move(version);
    phase_ = Phase::watch;
    is_expired_ = asks_etcd_ = false;
    handler_.list_ends();
    contact_ = Contact::current;
    problem_.clear();
}

void Watch::on_end(const Answer& answer, uint64_t now_ns) {
    in_flight_ = false;
    due_ns_ = now_ns;
    const bool was_list = phase_ == Phase::list && broken_.empty();
    if (was_list && answer.status == http_ok && answer.error.empty()) on_list_end();
    // A watch that ends at once, and again, is no success.
    const bool has_watched = is_watch_ && answer.status == http_ok &&
                             (got_event_ || (!is_expired_ && now_ns - began_ns_ >= nanos_per_second));
    if (has_watched) failed_in_row_ = expired_in_row_ = 0;
    if (answer.status == http_ok && answer.error.empty() && broken_.empty()) {
        if (was_list && expired_in_row_ == 0) failed_in_row_ = 0;
        if (was_list || has_watched) return;
        broken_ = "its watch ended at once";
    }
    if (answer.status == http_gone) list_anew(!is_watch_ || expired_in_row_ > 0);
    // Etcd was put back to an earlier state. Every other 504 is of a server, or of what stands before it,
    // that has too much to do.
    if (answer.status == http_timeout && !is_watch_ && refusal_.contains("Too large resource version"))
        asks_etcd_ = true;
    // A list that broke off is begun anew.
    if (phase_ == Phase::list) page_.clear();
    // What was too old once is no trouble, also after the server was away: soon, though not all agents at
    // once.
    const bool is_expired = is_expired_ && (answer.status == http_gone || answer.status == http_ok);
    if (phase_ == Phase::list && is_expired && expired_in_row_++ == 0) {
        due_ns_ = now_ns + std::uniform_int_distribution<uint64_t>(0, longest_relist_wait_ns)(random_);
        return;
    }
    ++failures_;
    const bool is_denied = answer.status == http_unauthorized || answer.status == http_forbidden;
    std::string problem;
    if (answer.status != 0 && answer.status != http_ok)
        problem = "HTTP " + std::to_string(answer.status) + ": " + message_in(refusal_);
    else
        problem = broken_.empty() ? answer.error : broken_;
    retry(is_denied ? Contact::denied : Contact::unreachable, std::move(problem),
          std::max<uint64_t>(answer.retry_after_secs, is_denied ? denied_wait_secs : 0), now_ns);
}

void Watch::retry(Contact contact, std::string problem, uint64_t wait_secs, uint64_t now_ns) {
    contact_ = contact;
    problem_ = std::move(problem);
    const uint64_t doubled = first_wait_ns << std::min<uint32_t>(failed_in_row_, 10);
    uint64_t wait = std::max(std::min(doubled, longest_wait_ns), wait_secs * nanos_per_second);
    wait += std::uniform_int_distribution<uint64_t>(0, wait)(random_);
    ++failed_in_row_;
    due_ns_ = now_ns + wait;
}

}  // namespace tcptrail::cluster
