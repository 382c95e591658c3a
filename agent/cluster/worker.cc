// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/worker.h"

#include <algorithm>
#include <random>
#include <utility>

#include "agent/base/clock.h"
#include "agent/cluster/json.h"

namespace tcptrail::cluster {
namespace {

// A Job or a ReplicaSet is asked for once in its life; that there are many of them is no hurry.
constexpr uint32_t most_questions = 2;
constexpr uint32_t question_timeout_secs = 10;
// And up to as much again by chance. Rights are mended by people.
constexpr uint64_t question_wait_ns = 5'000'000'000, denied_wait_ns = 60'000'000'000;
constexpr size_t longest_answer = longest_object;
constexpr uint64_t longest_sleep_ns = 10'000'000'000;
constexpr uint64_t nanos_per_milli = 1'000'000;
constexpr long http_ok = 200, http_unauthorized = 401, http_forbidden = 403, http_not_found = 404;

}  // namespace

Worker::Worker(const Options& options, std::string node, std::unique_ptr<Requests> requests, Tell tell)
    : node_(std::move(node)), requests_(std::move(requests)), tell_(std::move(tell)) {
    watch("/api/v1/pods", options.remote ? "" : "fieldSelector=spec.nodeName%3D" + node_, pods_, &Update::pod,
          [this](const Json& json) {
              auto pod = parse_pod(json, node_);
              if (pod) resolve(pod->object);
              return pod;
          });
    if (!options.remote) return;
    watch("/api/v1/services", "", services_, &Update::service, parse_service);
    watch("/api/v1/nodes", "", nodes_, &Update::node, parse_node);
}

template <class Object, class Parse>
void Worker::watch(const char* path, std::string selector, Known<Object>& known,
                   std::shared_ptr<const Object> Update::* member, Parse parse) {
    Watch::Handler handler;
    handler.list_begins = [&known] { ++known.list; };
    handler.put = [this, &known, member, parse](const Json& json) {
        if (auto parsed = parse(json)) put(known, member, parsed->uid, std::move(parsed->object));
    };
    const auto remove = [this, &known, member](auto entry) {
        Update update{Update::Change::removed, entry->first, {}, {}, {}};
        update.*member = entry->second.object;
        updates_.push_back(std::move(update));
        return known.entries.erase(entry);
    };
    handler.removed = [&known, remove](const Json& json) {
        const auto entry = known.entries.find(string_in(member_of(json, "metadata"), "uid"));
        if (entry != known.entries.end()) remove(entry);
    };
    handler.list_ends = [&known, remove] {
        for (auto entry = known.entries.begin(); entry != known.entries.end();)
            entry = entry->second.list == known.list ? std::next(entry) : remove(entry);
    };
    watches_.push_back(
        std::make_unique<Watch>(path, std::move(selector), std::move(handler), std::random_device{}()));
}

template <class Object>
void Worker::put(Known<Object>& known, std::shared_ptr<const Object> Update::* member, const std::string& uid,
                 Object object) {
    auto& entry = known.entries[uid];
    entry.list = known.list;
    if (entry.object && *entry.object == object) return;
    entry.object = std::make_shared<const Object>(std::move(object));
    Update update{Update::Change::put, uid, {}, {}, {}};
    update.*member = entry.object;
    updates_.push_back(std::move(update));
}

void Worker::start(Watch& watch, const Request& request) {
    requests_->start(request,
                     {[&watch](long status, std::string_view piece) { return watch.on_piece(status, piece); },
                      [&watch](const Answer& answer) { watch.on_end(answer, monotonic_nanos()); }});
}

void Worker::ask_for_owners(uint64_t now_ns) {
    while (questions_ < most_questions && now_ns >= questions_due_ns_) {
        const auto question = owners_.next();
        if (!question) return;
        ++questions_;
        ++asked_;
        const auto body = std::make_shared<std::string>();
        requests_->start(
            {question->target, question_timeout_secs},
            {[body](long, std::string_view piece) {
                 *body += piece;
                 return body->size() <= longest_answer;
             },
             [this, body, question](const Answer& answer) { answered(*question, answer, *body); }});
    }
}

void Worker::answered(const Owners::Question& question, const Answer& answer, const std::string& body) {
    --questions_;
    const bool is_final = answer.status == http_ok || answer.status == http_not_found;
    if (is_final && answer.error.empty()) {
        owners_.answer(question, answer.status == http_ok ? parse_json(body) : std::nullopt);
    } else {
        ++questions_failed_;
        owners_.forget(question);
        const bool is_denied = answer.status == http_unauthorized || answer.status == http_forbidden;
        const uint64_t wait_ns = is_denied ? denied_wait_ns : question_wait_ns;
        questions_due_ns_ =
            monotonic_nanos() + wait_ns + std::uniform_int_distribution<uint64_t>(0, wait_ns)(random_);
    }
    std::vector<std::pair<std::string, Pod>> mended;
    for (const auto& [uid, entry] : pods_.entries)
        if (!entry.object->workload_known && entry.object->owner && entry.object->owner->uid == question.uid)
            mended.emplace_back(uid, *entry.object);
    for (auto& [uid, pod] : mended) {
        resolve(pod);
        const auto list = pods_.entries[uid].list;  // a list in flight has still to tell that it is there
        put(pods_, &Update::pod, uid, std::move(pod));
        pods_.entries[uid].list = list;
    }
}

std::chrono::milliseconds Worker::until_next(uint64_t now_ns) const {
    uint64_t sleep_ns = longest_sleep_ns;
    const auto at = [&](uint64_t due_ns) {
        if (due_ns > now_ns) sleep_ns = std::min(sleep_ns, due_ns - now_ns);
    };
    for (const auto& watch : watches_)
        at(watch->due_ns());
    at(questions_due_ns_);
    return std::chrono::milliseconds(sleep_ns / nanos_per_milli + 1);
}

void Worker::run(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] { requests_->wake(); });
    Status told;
    while (!stop.stop_requested()) {
        const uint64_t now = monotonic_nanos();
        for (const auto& watch : watches_)
            if (const auto request = watch->next(now)) start(*watch, *request);
        ask_for_owners(now);
        requests_->run(until_next(now));
        const Status status = this->status();
        if (updates_.empty() && status == told) continue;
        told = status;
        tell_(updates_, status);
        updates_.clear();
    }
}

Status Worker::status() const {
    Status status;
    status.pods = watches_.front()->contact();
    for (const auto& watch : watches_) {
        if (status.problem.empty()) status.problem = watch->problem();
        status.lists += watch->lists();
        status.watches += watch->watches();
        status.failures += watch->failures();
    }
    status.owners = asked_;
    status.failures += questions_failed_;
    status.known_pods = pods_.entries.size();
    status.known_services = services_.entries.size();
    status.known_nodes = nodes_.entries.size();
    return status;
}

}  // namespace tcptrail::cluster
