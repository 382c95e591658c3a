// SPDX-License-Identifier: Apache-2.0
//
// Against librdkafka's mock cluster; what it cannot do is tested against a real broker in tests/kafka.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "agent/spool/inspect.h"
#include "agent/spool/spool.h"
#include "agent/transmit/client.h"
#include "agent/transmit/consumer.h"
#include "agent/transmit/framing.h"
#include "agent/transmit/ping.h"
#include "agent/transmit/topics.h"
#include "agent/transmit/transmitter.h"
#include "agent/transmit/trouble.h"
#include "agent/transmit/window.h"
#include "tests/catch.h"

namespace fs = std::filesystem;
using namespace tcptrail;
using namespace tcptrail::transmit;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

class TemporaryFolder {
public:
    TemporaryFolder() {
        path_ = fs::temp_directory_path() / "tcptrail-transmit-XXXXXX";
        REQUIRE(mkdtemp(path_.data()) != nullptr);
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

constexpr int16_t produce_request = 0;
constexpr const char* connections_topic = "tcptrail.connections";

// Brokers in this process.
class MockCluster {
public:
    explicit MockCluster(int brokers = 1) {
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
        client_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0));
        REQUIRE(client_);
        cluster_.reset(rd_kafka_mock_cluster_new(client_.get(), brokers));
        REQUIRE(cluster_);
        rd_kafka_mock_topic_create(get(), connections_topic, 4, 1);
        rd_kafka_mock_topic_create(get(), "tcptrail.agents", 1, 1);
    }
    rd_kafka_mock_cluster_t* get() const { return cluster_.get(); }
    std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(get()); }
    // The next produce requests are answered with `error`.
    void fail_produce(rd_kafka_resp_err_t error, int times = 1) {
        const std::vector<rd_kafka_resp_err_t> errors(static_cast<size_t>(times), error);
        rd_kafka_mock_push_request_errors_array(get(), produce_request, errors.size(), errors.data());
    }
    Options options() const {
        Options options;
        options.brokers = brokers();
        return options;
    }

private:
    ClientPtr client_;
    std::unique_ptr<rd_kafka_mock_cluster_t, Destroy<rd_kafka_mock_cluster_destroy>> cluster_;
};

// A spool and the transmitter that empties it.
struct Pipeline {
    explicit Pipeline(const Options& kafka) {
        spool::Options options;
        options.directory = folder.path();
        spool = std::move(*spool::Spool::open(options));
        transmitter = start(kafka);
    }
    std::unique_ptr<Transmitter> start(const Options& kafka) {
        auto reader = spool->reader();
        REQUIRE(reader);
        auto started = Transmitter::start(kafka, std::move(*reader));
        if (!started) FAIL(started.error().message);
        return std::move(*started);
    }
    void append(int first, int count, size_t value_bytes = 50, Topic topic = Topic::connections) {
        std::vector<Message> messages;
        for (int i = first; i < first + count; i++) {
            std::string value = "\n" + std::to_string(i) + " ";
            value.resize(std::max(value.size(), value_bytes), 'v');
            messages.push_back({topic, "key " + std::to_string(i % 17), value});
        }
        REQUIRE(spool->append(messages, {}));
    }
    // Until the file has all that it is to have.
    void settle() {
        REQUIRE(until([this] { return spool->settled() && spool->idle(); }));
    }
    // Until all that was appended is released, or the time is over.
    bool delivered(std::chrono::milliseconds timeout = 15s) {
        return until([this] { return spool->stats().held == 0; }, timeout);
    }
    bool until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = 15s) {
        for (const auto end = std::chrono::steady_clock::now() + timeout;
             std::chrono::steady_clock::now() < end;) {
            REQUIRE(spool->maintain());
            if (condition()) return true;
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }

    TemporaryFolder folder;
    std::unique_ptr<spool::Spool> spool;
    std::unique_ptr<Transmitter> transmitter;
};

struct Read {
    std::string key, value;
    std::map<std::string, std::string> headers;
};

// All records of a topic, by partition.
std::map<int32_t, std::vector<Read>> read_all(const Options& options,
                                              const std::string& topic = connections_topic) {
    auto consumer = Consumer::open(options, {.topic = topic, .from_beginning = true, .to_end = true});
    if (!consumer) FAIL(consumer.error().message);
    std::map<int32_t, std::vector<Read>> records;
    const std::atomic<bool> stop = false;
    auto done = (*consumer)->run(
        [&records](const Record& record) {
            Read read{std::string(record.key), std::string(record.value), {}};
            for (const auto& [name, value] : record.headers)
                read.headers[std::string(name)] = std::string(value);
            auto& partition = records[record.partition];
            CHECK(record.offset == static_cast<int64_t>(partition.size()));
            CHECK(record.timestamp_unix_millis > 1'600'000'000'000);
            partition.push_back(std::move(read));
            return true;
        },
        stop);
    if (!done) FAIL(done.error().message);
    return records;
}

int number_of(const Read& read) {
    return std::atoi(read.value.c_str() + 1);
}

struct Tally {
    std::set<int> distinct;
    int duplicates = 0;
    int out_of_order = 0;  // within a key, the first sight of each number
};

Tally tally(const std::map<int32_t, std::vector<Read>>& records) {
    Tally result;
    std::map<std::string, int> last;
    for (const auto& [partition, list] : records)
        for (const Read& read : list) {
            const int number = number_of(read);
            if (!result.distinct.insert(number).second) {
                result.duplicates++;
                continue;
            }
            auto [entry, first] = last.try_emplace(read.key, number);
            if (!first && number < entry->second) result.out_of_order++;
            entry->second = number;
        }
    return result;
}

}  // namespace

TEST_CASE("the confluent frame goes on and comes off") {
    std::string framed;
    add_confluent_frame(0x01020304, "\n\3abc", framed);
    CHECK(framed == std::string("\0\1\2\3\4\0\n\3abc", 11));
    CHECK(strip_frame(framed) == "\n\3abc");

    CHECK(strip_frame("\n\3abc") == "\n\3abc");
    CHECK(strip_frame("").empty());
    // Index 1 of the schema, then indexes 1 and 2 of it; zigzag.
    CHECK(strip_frame(std::string("\0\0\0\0\1\2\2\n\1x", 10)) == "\n\1x");
    CHECK(strip_frame(std::string("\0\0\0\0\1\4\2\4\n\1x", 11)) == "\n\1x");
    // Broken: cut, or a count without its indexes.
    for (const std::string& broken : {std::string("\0\0\0", 3), std::string("\0\0\0\0\1", 5),
                                      std::string("\0\0\0\0\1\xff", 6), std::string("\0\0\0\0\1\x10\2", 7)})
        CHECK(strip_frame(broken) == broken);
}

TEST_CASE("a property that cannot be is named with its value") {
    Options options;
    auto error = [&options] {
        auto conf = make_conf(options, Role::producer);
        REQUIRE_FALSE(conf);
        CHECK(conf.error().code == ExitCode::configuration);
        return conf.error().message;
    };
    SECTION("unknown") {
        options.properties["linger.mss"] = "5";
        CHECK_THAT(error(), ContainsSubstring("linger.mss = 5") &&
                                ContainsSubstring("No such configuration property"));
    }
    SECTION("wrong value") {
        options.properties["linger.ms"] = "soon";
        CHECK_THAT(error(), ContainsSubstring("linger.ms = soon"));
    }
    SECTION("a secret is not shown") {
        options.properties["ssl.key.pem"] = "hunter2";
        options.properties["sasl.passwort"] = "hunter2";
        CHECK_THAT(error(), ContainsSubstring("sasl.passwort"));
    }
    SECTION("what would lose messages") {
        options.properties["acks"] = "1";
        CHECK_THAT(error(), ContainsSubstring("acks = 1: delivery without loss does not allow it"));
    }
    SECTION("idempotence off") {
        options.properties["enable.idempotence"] = "false";
        CHECK_THAT(error(), ContainsSubstring("enable.idempotence"));
    }
    SECTION("transactions") {
        options.properties["transactional.id"] = "x";
        CHECK_THAT(error(), ContainsSubstring("transactional.id"));
    }
    SECTION("a file that is not there") {
        options.property_files["sasl.password"] = "/nonexistent/password";
        CHECK_THAT(error(),
                   ContainsSubstring("sasl.password: cannot read /nonexistent/password: No such file"));
    }
    SECTION("a file that can be opened but not read") {
        options.property_files["sasl.password"] = "/tmp";
        CHECK_THAT(error(), ContainsSubstring("sasl.password: cannot read /tmp"));
    }
}

TEST_CASE("the user's properties win over the defaults") {
    TemporaryFolder folder;
    std::ofstream(folder.path() + "/password") << "two\nlines\n";
    Options options;
    options.brokers = "a:1,b:2";
    options.properties = {
        {"linger.ms", "7"}, {"acks", "-1"}, {"enable.idempotence", "true"}, {"compression.type", "lz4"}};
    options.property_files = {{"sasl.password", folder.path() + "/password"}};
    auto conf = make_conf(options, Role::producer);
    REQUIRE(conf);
    auto value = [&conf](const char* name) {
        char text[256];
        size_t size = sizeof(text);
        REQUIRE(rd_kafka_conf_get(conf->get(), name, text, &size) == RD_KAFKA_CONF_OK);
        return std::string(text);
    };
    CHECK(value("bootstrap.servers") == "a:1,b:2");
    CHECK(value("linger.ms") == "7");
    CHECK(value("compression.codec") == "lz4");
    CHECK(value("sasl.password") == "two\nlines");
    CHECK(value("message.timeout.ms") == "0");
    CHECK(value("socket.keepalive.enable") == "true");
    CHECK(make_client(std::move(*conf), Role::producer));
}

TEST_CASE("what librdkafka finds wrong only as a whole is an error too") {
    Options options;
    options.brokers = "localhost:1";
    options.properties["max.in.flight"] = "10";
    auto conf = make_conf(options, Role::producer);
    REQUIRE(conf);
    auto client = make_client(std::move(*conf), Role::producer);
    REQUIRE_FALSE(client);
    CHECK(client.error().code == ExitCode::configuration);
    CHECK_THAT(client.error().message, ContainsSubstring("max.in.flight"));
}

TEST_CASE("SCRAM with an old librdkafka is warned of") {
    Options options;
    CHECK_FALSE(client_warning(options, 0x020002ff));
    options.properties["sasl.mechanisms"] = "PLAIN";
    CHECK_FALSE(client_warning(options, 0x020002ff));
    options.properties["sasl.mechanisms"] = "scram-sha-512";
    CHECK_FALSE(client_warning(options, 0x020800ff));
    CHECK_FALSE(client_warning(options, 0x020601ff));
    auto warning = client_warning(options, 0x020002ff);
    REQUIRE(warning);
    CHECK_THAT(*warning, ContainsSubstring("SCRAM-SHA-512 does not work with librdkafka 2.0.2 and Kafka 4"));
}

TEST_CASE("secrets are known by their names") {
    CHECK(is_secret("sasl.password"));
    CHECK(is_secret("ssl.key.pem"));
    CHECK(is_secret("ssl.key.password"));
    CHECK(is_secret("sasl.oauthbearer.client.secret"));
    CHECK_FALSE(is_secret("ssl.key.location"));
    CHECK_FALSE(is_secret("sasl.username"));
}

TEST_CASE("trouble that repeats is tried more and more seldom") {
    CHECK(retry_delay(Trouble::passing, 0) == 100ms);
    CHECK(retry_delay(Trouble::passing, 3) == 800ms);
    CHECK(retry_delay(Trouble::passing, 1000) == 10s);
    CHECK(retry_delay(Trouble::missing_topic, 0) == 1s);
    CHECK(retry_delay(Trouble::missing_topic, 10) == 5s);
    CHECK(retry_delay(Trouble::forbidden, 0) == 5s);
    CHECK(retry_delay(Trouble::forbidden, 10) == 60s);
}

TEST_CASE("a right that is missing is named") {
    CHECK(needed_right(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Read") == "; grant Read on it");
    CHECK(needed_right(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, "Read").empty());
}

TEST_CASE("the window knows how far each message is") {
    auto batch = [](uint64_t id, size_t count) {
        spool::Batch made;
        made.id = id;
        made.payload.resize(10 * count);
        made.messages.resize(count);
        return made;
    };
    Window window;
    CHECK(window.next() == nullptr);
    window.add(batch(1, 2));
    window.add(batch(2, 1));
    CHECK(window.bytes() == 30);
    std::vector<Window::Item*> items;
    while (auto* item = window.next()) {
        CHECK(window.next() == item);
        window.sent(*item, {});
        items.push_back(item);
    }
    REQUIRE(items.size() == 3);
    CHECK(window.outstanding() == 3);
    CHECK(&Window::message(*items[1]) == &items[1]->entry->batch.messages[1]);

    SECTION("done out of order") {
        CHECK(window.done(*items[2]) == 2u);
        CHECK(window.done(*items[0]) == std::nullopt);
        CHECK(window.done(*items[1]) == 1u);
        CHECK(window.empty());
        CHECK(window.bytes() == 0);
        window.add(batch(3, 1));
        CHECK(window.next() != nullptr);
    }
    SECTION("what failed comes again, in order, and what is done does not") {
        window.failed(*items[2]);
        window.done(*items[0]);
        window.failed(*items[1]);
        CHECK(window.outstanding() == 0);
        CHECK(window.next() == nullptr);
        window.again();
        REQUIRE(window.next() == items[1]);
        window.sent(*items[1], {});
        REQUIRE(window.next() == items[2]);
        CHECK(window.not_done() == 2);
    }
    SECTION("reports that will not come") {
        window.done(*items[1]);
        window.forget_sent();
        window.again();
        CHECK(window.outstanding() == 0);
        CHECK(window.next() == items[0]);
    }
}

TEST_CASE("what is appended arrives, in order per key, with headers") {
    MockCluster cluster(3);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    for (int i = 0; i < 20; i++)
        pipeline.append(i * 100, 100);
    pipeline.append(5000, 1, 50, Topic::agents);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.taken == 2001);
    CHECK(status.acknowledged == 2001);
    CHECK(status.held == 0);
    CHECK(status.queued == 0);
    CHECK(status.failed == 0);
    CHECK(status.clients == 1);
    CHECK(status.connected);
    CHECK(status.problem.empty());

    const auto records = read_all(options);
    CHECK(records.size() == 4);
    const auto result = tally(records);
    CHECK(result.distinct.size() == 2000);
    CHECK(result.duplicates == 0);
    CHECK(result.out_of_order == 0);
    std::map<std::string, std::set<int32_t>> partitions_of_key;
    for (const auto& [partition, list] : records)
        for (const Read& read : list) {
            partitions_of_key[read.key].insert(partition);
            CHECK(read.headers ==
                  std::map<std::string, std::string>{
                      {"content-type", "application/x-protobuf; message=tcptrail.v1.ConnectionEvent"},
                      {"schema-version", "1"}});
        }
    for (const auto& [key, partitions] : partitions_of_key)
        CHECK(partitions.size() == 1);

    const auto agents = read_all(options, "tcptrail.agents");
    REQUIRE(agents.at(0).size() == 1);
    CHECK(agents.at(0)[0].headers.at("content-type") ==
          "application/x-protobuf; message=tcptrail.v1.AgentReport");
}

TEST_CASE("with confluent framing the value is the same once the frame is off") {
    MockCluster cluster;
    auto options = cluster.options();
    options.framing = Framing::confluent;
    options.schema_ids = {7, 8};
    Pipeline pipeline(options);
    pipeline.append(0, 100, 2000);
    REQUIRE(pipeline.delivered());
    const auto records = read_all(options);
    CHECK(tally(records).distinct.size() == 100);
    for (const auto& [partition, list] : records)
        for (const Read& read : list)
            CHECK(read.value.size() == 2000);
}

TEST_CASE("brokers that are down at the start are waited for") {
    MockCluster cluster;
    rd_kafka_mock_broker_set_down(cluster.get(), 1);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 500);
    CHECK(pipeline.until([&] { return !pipeline.transmitter->status().last_error.empty(); }));
    auto status = pipeline.transmitter->status();
    CHECK_FALSE(status.connected);
    CHECK(status.last_error_unix_nanos > 1'600'000'000'000'000'000u);
    CHECK(pipeline.spool->stats().held == 500);

    rd_kafka_mock_broker_set_up(cluster.get(), 1);
    REQUIRE(pipeline.delivered());
    status = pipeline.transmitter->status();
    CHECK(status.connected);
    CHECK(status.problem.empty());
    CHECK_FALSE(status.last_error.empty());
    CHECK(tally(read_all(options)).duplicates == 0);
}

TEST_CASE("a broker that goes and comes back costs nothing") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    int number = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++, number += 50) {
            pipeline.append(number, 50);
            std::this_thread::sleep_for(5ms);
            if (i == 10) rd_kafka_mock_broker_set_down(cluster.get(), 1);
        }
        rd_kafka_mock_broker_set_up(cluster.get(), 1);
    }
    REQUIRE(pipeline.delivered(30s));
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == static_cast<size_t>(number));
    CHECK(result.out_of_order == 0);
}

TEST_CASE("a message that is refused is sent again, after a pause") {
    MockCluster cluster;
    const auto options = cluster.options();
    // One that librdkafka does not retry by itself, one that it does.
    const auto error = GENERATE(RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                RD_KAFKA_RESP_ERR_INVALID_MSG);
    INFO(rd_kafka_err2name(error));
    cluster.fail_produce(error, 3);
    Pipeline pipeline(options);
    for (int i = 0; i < 10; i++)
        pipeline.append(i * 50, 50);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.acknowledged == 500);
    CHECK(status.problem.empty());
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == 500);
}

TEST_CASE("what only the next batch's success says to be stored is sent again") {
    MockCluster cluster;
    auto options = cluster.options();
    // Several requests of several messages each are on their way before the first is answered.
    options.properties["batch.num.messages"] = "3";
    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 200);
    cluster.fail_produce(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
    Pipeline pipeline(options);
    pipeline.append(0, 12, 50, Topic::agents);
    REQUIRE(pipeline.delivered());
    CHECK(tally(read_all(options, "tcptrail.agents")).distinct.size() == 12);
}

TEST_CASE("a missing topic is named, and delivery resumes when it exists") {
    MockCluster cluster;
    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    CHECK(pipeline.until([&] { return pipeline.transmitter->status().failed > 0; }));
    CHECK(pipeline.transmitter->status().problem ==
          "topic tcptrail.connections does not exist on the brokers; make it with: tcptrail topics create "
          "--brokers " +
              options.brokers);
    std::this_thread::sleep_for(1500ms);
    CHECK(pipeline.spool->stats().held == 100);
    CHECK(pipeline.transmitter->status().failed < 500);

    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_NO_ERROR);
    REQUIRE(pipeline.delivered(20s));
    CHECK(pipeline.transmitter->status().problem.empty());
    CHECK(tally(read_all(options)).distinct.size() == 100);
}

TEST_CASE("a message that librdkafka does not even take is kept") {
    MockCluster cluster;
    const auto options = cluster.options();
    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    struct Silent : ProducerListener {
        void on_report(void*, rd_kafka_resp_err_t) override { reports++; }
        void on_error(rd_kafka_resp_err_t, const std::string&) override {}
        void on_replaced(const std::string&, bool) override {}
        int reports = 0;
    } listener;
    auto producer = Producer::create(options, 0, -1, listener);
    REQUIRE(producer);
    const spool::MessageView message{Topic::connections, "key", "value"};
    // Until it knows that the topic is missing.
    auto error = RD_KAFKA_RESP_ERR_NO_ERROR;
    int taken = 0;
    for (int i = 0; i < 300 && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        error = (*producer)->send(message, nullptr);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) taken++;
        std::this_thread::sleep_for(50ms);
    }
    CHECK(error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    for (int i = 0; i < 100; i++)
        CHECK((*producer)->send(message, nullptr) == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    (*producer)->poll();
    CHECK(listener.reports == taken);
}

TEST_CASE("what librdkafka waits for in silence is told") {
    // What a topic says that it may not see is tested with a real broker: the mock's answer has partitions,
    // which ends librdkafka 2.8 (librdkafka#4907) and which no broker sends.
    MockCluster cluster;
    const auto options = cluster.options();
    // Slower than anyone waits.
    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 20'000);
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    CHECK(pipeline.until([&] { return !pipeline.transmitter->status().problem.empty(); }));
    CHECK_THAT(pipeline.transmitter->status().problem, ContainsSubstring("the brokers do not answer"));
    CHECK(pipeline.spool->stats().held == 100);

    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 0);
    REQUIRE(pipeline.delivered(60s));
    CHECK(pipeline.transmitter->status().problem.empty());
}

TEST_CASE("a batch that is too large is sent as smaller ones") {
    MockCluster cluster;
    cluster.fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 500, 1000);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.too_large == 0);
    CHECK(status.acknowledged == 500);
    CHECK(status.clients == 2);
    CHECK(tally(read_all(options)).distinct.size() == 500);
}

TEST_CASE("a message that is too large alone is set aside and counted") {
    MockCluster cluster;
    Options options = cluster.options();
    SECTION("the brokers say so") {
        // 1,000,000 → 125,000 → 15,625: then it has a batch for itself.
        cluster.fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 3);
    }
    SECTION("the client says so") {
        options.properties["message.max.bytes"] = "10000";
    }
    Pipeline pipeline(options);
    pipeline.append(0, 1, 50'000);
    REQUIRE(pipeline.delivered());
    pipeline.append(1, 10);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.too_large == 1);
    CHECK(status.acknowledged == 10);
    CHECK(status.taken == 11);
    const auto stats = pipeline.spool->stats();
    CHECK(stats.too_large == 1);
    CHECK(stats.released == 10);
    CHECK(stats.in == 11);
    // Kept for the administrator.
    auto inspector = spool::Inspector::open(pipeline.folder.path() + "/spool.db");
    REQUIRE(inspector);
    std::vector<size_t> sizes;
    REQUIRE(inspector->each_set_aside([&](const spool::MessageView& message) {
        sizes.push_back(message.value.size());
        return true;
    }));
    CHECK(sizes == std::vector<size_t>{50'000});
    CHECK_THAT(status.last_error,
               ContainsSubstring("a message of 50005 bytes") && ContainsSubstring("set aside"));
    CHECK(tally(read_all(options)).distinct.size() == 10);
}

TEST_CASE("a full queue of the client stops reading, and resumes") {
    MockCluster cluster;
    auto options = cluster.options();
    options.properties["queue.buffering.max.messages"] = "50";
    Pipeline pipeline(options);
    for (int i = 0; i < 5; i++)
        pipeline.append(i * 1000, 1000);
    REQUIRE(pipeline.delivered(30s));
    CHECK(pipeline.transmitter->status().failed == 0);
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == 5000);
    CHECK(result.duplicates == 0);
    CHECK(result.out_of_order == 0);
}

TEST_CASE("after a fatal error a new client sends what is not acknowledged") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    cluster.fail_produce(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    for (int i = 1; i < 20; i++)
        pipeline.append(i * 100, 100);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.clients >= 2);
    CHECK(status.acknowledged == 2000);
    CHECK_THAT(status.last_error, ContainsSubstring("a new one follows"));
    CHECK(tally(read_all(options)).distinct.size() == 2000);
}

TEST_CASE(
    "a file that is replaced while all is well: a new client, nothing twice; or the old one, where it does "
    "not do") {
    MockCluster cluster;
    TemporaryFolder files;
    const std::string file = files.path() + "/rack";
    std::ofstream(file) << "first";
    Options options = cluster.options();
    options.property_files["client.rack"] = file;
    // A second one, which is made wrong.
    const std::string linger = files.path() + "/linger";
    std::ofstream(linger) << "5";
    options.property_files["linger.ms"] = linger;
    Pipeline pipeline(options);
    pipeline.append(0, 500);
    REQUIRE(pipeline.delivered());
    const auto& transmitter = *pipeline.transmitter;

    std::ofstream(file) << "the second";
    int number = 500;
    const auto after = [&](uint64_t renewals) {
        return pipeline.until([&] {
            pipeline.append(number, 10);
            number += 10;
            std::this_thread::sleep_for(10ms);
            return transmitter.status().renewals == renewals;
        });
    };
    REQUIRE(after(1));
    CHECK(transmitter.status().renewal == file + " was replaced: the new one is in use");
    CHECK_FALSE(transmitter.status().renewal_failed);
    CHECK(transmitter.status().clients == 2);

    std::ofstream(linger) << "soon";
    REQUIRE(after(2));
    CHECK_THAT(transmitter.status().renewal,
               ContainsSubstring(linger + " was replaced, and what was there before stays in use") &&
                   ContainsSubstring("linger.ms"));
    CHECK(transmitter.status().renewal_failed);
    CHECK(transmitter.status().last_error == transmitter.status().renewal);
    CHECK(transmitter.status().problem.empty());
    CHECK(transmitter.status().clients == 2);

    std::ofstream(linger) << "10";
    REQUIRE(after(3));
    CHECK(transmitter.status().clients == 3);
    REQUIRE(pipeline.delivered());
    const Tally read = tally(read_all(cluster.options()));
    CHECK(read.distinct.size() == static_cast<size_t>(number));
    CHECK(read.duplicates == 0);
    CHECK(read.out_of_order == 0);
}

TEST_CASE("stopping delivers what it can, and leaves the rest in the spool") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    SECTION("with brokers: everything") {
        pipeline.append(0, 2000);
        pipeline.settle();
        pipeline.transmitter->stop(5s);
        pipeline.settle();
        CHECK(pipeline.spool->stats().released == 2000);
        CHECK(tally(read_all(options)).distinct.size() == 2000);
    }
    SECTION("without: nothing is lost, and it ends in time") {
        rd_kafka_mock_broker_set_down(cluster.get(), 1);
        pipeline.append(0, 2000);
        std::this_thread::sleep_for(200ms);
        const auto begin = std::chrono::steady_clock::now();
        pipeline.transmitter->stop(500ms);
        CHECK(std::chrono::steady_clock::now() - begin < 2500ms);
        pipeline.settle();
        CHECK(pipeline.spool->stats().held == 2000);

        // The next run sends it.
        pipeline.transmitter.reset();
        pipeline.spool.reset();
        rd_kafka_mock_broker_set_up(cluster.get(), 1);
        spool::Options again;
        again.directory = pipeline.folder.path();
        pipeline.spool = std::move(*spool::Spool::open(again));
        pipeline.transmitter = pipeline.start(options);
        REQUIRE(pipeline.delivered());
        CHECK(tally(read_all(options)).distinct.size() == 2000);
    }
}

TEST_CASE("a configuration that librdkafka refuses is told at the start") {
    TemporaryFolder folder;
    spool::Options where;
    where.directory = folder.path();
    auto spool = std::move(*spool::Spool::open(where));
    Options options;
    options.brokers = "localhost:1";
    options.properties["max.in.flight"] = "10";
    auto transmitter = Transmitter::start(options, std::move(*spool->reader()));
    REQUIRE_FALSE(transmitter);
    CHECK(transmitter.error().code == ExitCode::configuration);
}

TEST_CASE("a consumer ends at the watermark, at a stop, or when it is told enough") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    std::atomic<bool> stop = false;

    SECTION("to the end: not what comes later") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = true, .to_end = true});
        REQUIRE(consumer);
        int64_t total = 0;
        for (const auto& partition : (*consumer)->partitions()) {
            CHECK(partition.low == 0);
            total += partition.high;
        }
        CHECK((*consumer)->partitions().size() == 4);
        CHECK(total == 100);
        pipeline.append(100, 100);
        REQUIRE(pipeline.delivered());
        int count = 0;
        REQUIRE((*consumer)->run([&count](const Record&) { return ++count > 0; }, stop));
        CHECK(count == 100);
    }
    SECTION("enough") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = true, .to_end = false});
        REQUIRE(consumer);
        int count = 0;
        REQUIRE((*consumer)->run([&count](const Record&) { return ++count < 10; }, stop));
        CHECK(count == 10);
    }
    SECTION("from now on, until it is stopped") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = false, .to_end = false});
        REQUIRE(consumer);
        pipeline.append(100, 20);
        REQUIRE(pipeline.delivered());
        std::thread stopper([&stop] {
            std::this_thread::sleep_for(800ms);
            stop = true;
        });
        int count = 0;
        const auto done = (*consumer)->run([&count](const Record&) { return ++count > 0; }, stop);
        stopper.join();
        REQUIRE(done);
        CHECK(count == 20);
    }
    SECTION("from now to now is nothing") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = false, .to_end = true});
        REQUIRE(consumer);
        REQUIRE((*consumer)->run([](const Record&) { return false; }, stop));
    }
}

TEST_CASE("a consumer tells that its topic is missing") {
    MockCluster cluster;
    rd_kafka_mock_topic_set_error(cluster.get(), "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    auto consumer =
        Consumer::open(cluster.options(), {.topic = "absent", .from_beginning = true, .to_end = true});
    REQUIRE_FALSE(consumer);
    CHECK_THAT(consumer.error().message, ContainsSubstring("topic absent does not exist on the brokers"));
}

TEST_CASE("a ping says which brokers answer") {
    MockCluster cluster(3);
    auto report = ping(cluster.options());
    REQUIRE(report);
    CHECK_THAT(report->cluster_id, ContainsSubstring("mockCluster"));
    REQUIRE(report->brokers.size() == 3);
    for (const BrokerAnswer& broker : report->brokers) {
        CHECK_THAT(broker.address, ContainsSubstring("127.0.0.1:"));
        CHECK(broker.problem.empty());
    }

    rd_kafka_mock_broker_set_down(cluster.get(), 2);
    report = ping(cluster.options(), 1500ms);
    REQUIRE(report);
    CHECK(report->brokers[0].problem.empty());
    CHECK_FALSE(report->brokers[1].problem.empty());
    CHECK(report->brokers[2].problem.empty());
}

TEST_CASE("a ping without an answer says why, in time") {
    Options options;
    options.brokers = "127.0.0.1:1";
    const auto begin = std::chrono::steady_clock::now();
    auto report = ping(options, 1000ms);
    REQUIRE_FALSE(report);
    CHECK(std::chrono::steady_clock::now() - begin < 2500ms);
    CHECK_THAT(report.error().message, ContainsSubstring("no answer from the brokers: ") &&
                                           ContainsSubstring("127.0.0.1:1") &&
                                           ContainsSubstring("Connection refused"));
    CHECK_THAT(check_topics(options, 1000ms).error().message, ContainsSubstring("Connection refused"));
    CHECK_THAT(create_topics(options, 1, 1000ms).error().message, ContainsSubstring("Connection refused"));
}

TEST_CASE("the wanted topics go by the configured names") {
    Options options;
    options.topics = {"a", "b"};
    const auto topics = wanted_topics(options);
    REQUIRE(topics.size() == 2);
    CHECK(topics[0].name == "a");
    CHECK(topics[0].partitions == 6);
    CHECK(topics[0].settings.at("retention.ms") == "604800000");
    CHECK(topics[1].name == "b");
    CHECK(topics[1].partitions == 1);
    CHECK(topics[1].settings.at("retention.ms") == "2592000000");
    CHECK(topics[1].settings.at("cleanup.policy") == "delete");
}
