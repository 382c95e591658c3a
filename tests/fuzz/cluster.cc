// SPDX-License-Identifier: Apache-2.0
//
// What an API server answers: a list, the lines of a watch, an object, a refusal. However it is cut it is
// read as the same, and whatever it says, what is asked next is a request, and what is told of it a line.
#include <arpa/inet.h>

#include <algorithm>

#include "agent/base/utf8.h"
#include "agent/cluster/directory.h"
#include "agent/cluster/json.h"
#include "agent/cluster/objects.h"
#include "agent/cluster/owners.h"
#include "agent/cluster/stream.h"
#include "agent/cluster/watch.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using namespace tcptrail::cluster;
using tests::fuzz::expect;

namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr size_t longest_problem = 600;

// Gives a text in pieces, until no more is wanted.
template <class Take>
bool feed(std::string_view text, size_t piece, Take take) {
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size())))
        if (!take(text.substr(0, piece))) return false;
    return true;
}

struct Read {
    bool good = false;
    std::vector<std::string> objects;
    std::string rest;
    bool operator==(const Read&) const = default;
};

Read read_list(std::string_view text, size_t piece) {
    Read read;
    ListReader reader;
    const auto take = [&](std::string_view item) { return read.objects.emplace_back(item), true; };
    read.good = feed(text, piece, [&](std::string_view part) { return reader.feed(part, take); });
    read.rest = reader.rest();
    return read;
}

Read read_lines(std::string_view text, size_t piece) {
    Read read;
    LineReader reader;
    const auto take = [&](std::string_view line) { return read.objects.emplace_back(line), true; };
    read.good = feed(text, piece, [&](std::string_view part) { return reader.feed(part, take); });
    return read;
}

// What is no number or text: those are no objects of a list, and passed over.
void add_items(const Json& list, std::vector<Json>& items) {
    const Json& array = member_of(list, "items");
    if (!array.is_array()) return;
    for (const Json& item : array)
        if (item.is_structured()) items.push_back(item);
}

// By a parser that has all of it at once.
void compare_list(std::string_view text, const Read& read) {
    int lists = 0;
    const auto count = [&](int depth, Json::parse_event_t event, Json& parsed) {
        lists += depth == 1 && event == Json::parse_event_t::key && parsed == "items";
        return true;
    };
    Json whole = Json::parse(text, count, false);
    // Of two keys of the same name a parser has one.
    if (!whole.is_object() || lists > 1) return;
    expect(read.good, "a list was refused");
    auto rest = parse_json(read.rest);
    expect(rest.has_value(), "what is left of a list is no JSON");
    std::vector<Json> items, taken;
    add_items(whole, items);
    for (const std::string& object : read.objects)
        taken.push_back(Json::parse(object, nullptr, false));
    add_items(*rest, taken);
    expect(items == taken, "other items");
    whole.erase("items");
    rest->erase("items");
    expect(whole == *rest, "something else around the items");
}

void take_list(std::string_view text) {
    const Read read = read_list(text, text.size());
    for (const size_t piece : {1, 7})
        expect(read_list(text, piece) == read, "a list is another when it is cut");
    compare_list(text, read);
}

void take_lines(std::string_view text) {
    const Read read = read_lines(text, text.size());
    std::string joined;
    for (const std::string& line : read.objects) {
        expect(!line.empty() && line.find('\n') == line.npos, "no line");
        joined += line;
    }
    for (const size_t piece : {1, 7})
        expect(read_lines(text, piece) == read, "lines are others when they are cut");
    std::string lines(text.substr(0, text.rfind('\n') + 1));
    std::erase(lines, '\n');
    expect(joined == lines, "not all of the lines");
}

// A watch that gets a text as the answer to its first request, or to its second.
struct Watched {
    std::string told;
    uint64_t now = second;
    Watch watch{
        "/api/v1/pods",
        "",
        {[this] { told += "begin\n"; }, [this](const Json& object) { told += "+" + object.dump() + "\n"; },
         [this](const Json& object) { told += "-" + object.dump() + "\n"; }, [this] { told += "end\n"; }},
        1};

    void ask() {
        now = std::max(now, watch.due_ns());
        const auto request = watch.next(now);
        expect(request.has_value(), "nothing is asked");
        for (const char c : request->target)
            expect(c > ' ' && c <= '~' && c != '#', "what is asked is no target");
        expect(request->timeout_secs > 0 && request->timeout_secs <= 3600, "asked for ever");
    }
    void answer(long status, std::string_view text, size_t piece) {
        const bool goes_on = watch.on_piece(status, "") && feed(text, piece, [&](std::string_view part) {
                                 return watch.on_piece(status, part);
                             });
        watch.on_end({status, goes_on ? "" : "stopped", 0}, now);
        expect(watch.due_ns() <= now + 60 * second, "no more is asked for long");
        expect((watch.contact() == Contact::current) == watch.problem().empty() || watch.lists() == 1,
               "a trouble without words");
        for (std::string_view rest = watch.problem(); !rest.empty();) {
            const size_t length = utf8_sequence(rest);
            expect(length > 0 && static_cast<unsigned char>(rest[0]) >= ' ' && rest[0] != '\x7f',
                   "no line of text");
            expect(length != 2 || rest[0] != '\xc2' || static_cast<unsigned char>(rest[1]) >= 0xa0,
                   "a control character");
            rest.remove_prefix(length);
        }
        expect(watch.problem().size() <= longest_problem, "too many words");
    }
};

std::string watched(long status, std::string_view first, std::string_view text, size_t piece) {
    Watched w;
    w.ask();
    if (!first.empty()) {
        w.answer(200, first, first.size());
        w.ask();
    }
    w.answer(status, text, piece);
    w.ask();
    return w.told + w.watch.problem();
}

void take_answer(std::string_view text) {
    constexpr std::string_view list = R"({"metadata":{"resourceVersion":"7"},"items":[{"a":1}]})";
    for (const std::string_view first : {std::string_view(), list})
        for (const long status : {200, 410, 403})
            expect(watched(status, first, text, text.size()) == watched(status, first, text, 5),
                   "an answer is another when it is cut");
}

// "/apis/batch/v1/namespaces/shop/jobs/night": one object of that kind, and nothing else of the API.
void check_target(std::string_view target) {
    expect(std::ranges::count(target, '/') == 7 && target.find("..") == target.npos, "another object");
    for (const char c : target)
        expect((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '/',
               "more than an object is asked for");
}

void take_owner(Pod pod, const Json& object) {
    Owners owners;
    owners.resolve(pod, true);
    if (const auto question = owners.next()) {
        expect(!pod.workload_known, "asked for what is known");
        check_target(question->target);
        owners.answer(*question, object);
        owners.resolve(pod, true);
    }
    expect(pod.workload_known && !owners.next(), "asked for twice");
}

void check_addresses(const std::vector<Address>& addresses) {
    for (const Address& address : addresses) {
        char text[INET6_ADDRSTRLEN];
        expect(inet_ntop(AF_INET6, address.data(), text, sizeof text) && parse_address(text) == address,
               "an address that is none");
    }
}

void take_pod(const Pod& pod) {
    expect(!pod.uid.empty() && !pod.name.empty(), "a pod without a name");
    expect(pod.started_unix_ns % second == 0, "a time that wrapped");
    expect(!pod.host_network || pod.addresses.empty(), "the address of its node");
    check_addresses(pod.addresses);
    Directory directory;
    Update update{Update::Change::put, "key", std::make_shared<const Pod>(pod), nullptr, nullptr};
    directory.apply(update, second, second);
    for (const auto change : {Update::Change::put, Update::Change::removed}) {
        update.change = change;
        directory.apply(update, 2 * second, 2 * second);
        // Its connections end after it.
        const Pod* const found = directory.pod(pod.uid);
        expect(found && *found == pod, "not the pod");
        for (const auto& [id, name] : pod.containers)
            expect(!id.empty() && !directory.container(id).empty(), "not its container");
        expect(directory.addresses() <= pod.addresses.size(), "addresses of nobody");
    }
    directory.apply({Update::Change::put, "other", nullptr, std::make_shared<const Service>(), nullptr},
                    10'000 * second, 10'000 * second);
    expect(directory.pods() == 0 && directory.addresses() == 0, "it is never forgotten");
}

void take_object(const Json& object) {
    for (const char* node : {"n", ""})
        if (const auto pod = parse_pod(object, node)) {
            take_owner(pod->object, object);
            take_pod(pod->object);
        }
    if (const auto service = parse_service(object)) check_addresses(service->object.addresses);
    if (const auto node = parse_node(object)) check_addresses(node->object.addresses);
}

void run(std::span<const uint8_t> input) {
    const std::string_view text = tests::fuzz::text_of(input);
    take_list(text);
    take_lines(text);
    take_answer(text);
    if (const auto object = parse_json(text)) take_object(*object);
}

std::vector<std::string> seeds() {
    const std::string pod =
        R"({"metadata":{"uid":"u-1","namespace":"shop","name":"night-123-x","resourceVersion":"5",)"
        R"("labels":{"pod-template-hash":"7d9f"},"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job",)"
        R"("name":"night-123","uid":"o-1","controller":true}]},"spec":{"nodeName":"n"},"status":{"phase":)"
        R"("Running","startTime":"2026-11-30T04:00:00Z","podIPs":[{"ip":"10.0.0.7"},{"ip":"fd00::7"}],)"
        R"("containerStatuses":[{"name":"api","containerID":"containerd://abc","lastState":{"terminated":)"
        R"({"containerID":"containerd://old"}}}]}})";
    return {
        pod,
        R"({"metadata":{"uid":"api","name":"etcd-n","annotations":{"kubernetes.io/config.mirror":"abc",)"
        R"("kubernetes.io/config.hash":"abc"}},"spec":{"hostNetwork":true},"status":{"podIPs":[{"ip":"10.1.1.1"}]}})",
        R"({"metadata":{"uid":"p","namespace":"shop","name":"api-7d9f-x","labels":{"pod-template-hash":"7d9f"},)"
        R"("ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"api-7d9f","uid":"r",)"
        R"("controller":true}]}})",
        R"({"metadata":{"uid":"s","namespace":"shop","name":"api"},"spec":{"clusterIPs":["10.96.0.1"],)"
        R"("externalIPs":["192.0.2.1"]},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.9"}]}}})",
        R"({"metadata":{"uid":"n","name":"node-1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}})",
        R"({"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x/y+z="},"items":[{"a":"}]\"\\"},)"
        "\n "
        R"({"b":{"items":[1,{"c":"\u007b"}]}} , {}],"later":"items"})",
        R"({"metadata":{"resourceVersion":"7"},"items":[)" + pod + "]}",
        R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"11"}}})"
        "\n"
        R"({"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"12"}}})"
        "\n"
        R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"20"}}})"
        "\n",
        R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})"
        "\n",
        R"({"kind":"Status","code":403,"message":"pods is forbidden"})",
        "<html>\r\n502 Bad Gateway\r\n</html>",
    };
}

const tests::fuzz::Register registered({"cluster", run, seeds});

}  // namespace
