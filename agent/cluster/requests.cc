// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/requests.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "version.h"

namespace tcptrail::cluster {
namespace {

constexpr long connect_timeout_secs = 10;
// A firewall that has forgotten the connection of a watch says nothing.
constexpr long keepalive_idle_secs = 30, keepalive_interval_secs = 10;
constexpr size_t longest_token = 64u << 10;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// Without the end of its line. Empty: there is none, and the server will say what it thinks of that.
std::string read_token(const std::string& path) {
    std::ifstream file(path);
    std::string token(longest_token, '\0');
    file.read(token.data(), static_cast<std::streamsize>(token.size()));
    token.resize(static_cast<size_t>(file.gcount()));
    while (!token.empty() && std::isspace(static_cast<unsigned char>(token.back())))
        token.pop_back();
    const bool valid = std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
    return valid ? token : std::string();
}

}  // namespace

struct Requests::Transfer {
    const Curl& curl;
    Taker taker;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    bool told_status = false;
    char error[CURL_ERROR_SIZE] = "";

    explicit Transfer(const Curl& library, Taker to) : curl(library), taker(std::move(to)) {
        easy = curl.easy_init();
    }
    ~Transfer() {
        curl.easy_cleanup(easy);
        curl.slist_free_all(headers);
    }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    void add_header(const std::string& header) { headers = curl.slist_append(headers, header.c_str()); }
    long status() const {
        long status = 0;
        curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
    }
    static size_t on_header(char* line, size_t size, size_t count, void* self) {
        auto& transfer = *static_cast<Transfer*>(self);
        const std::string_view text(line, size * count);
        // The empty line behind the headers. "100 Continue" has one, too.
        if (text != "\r\n" || transfer.status() < 200 || transfer.told_status) return text.size();
        transfer.told_status = true;
        return transfer.taker.piece(transfer.status(), {}) ? text.size() : 0;
    }
    static size_t on_body(char* data, size_t size, size_t count, void* self) {
        auto& transfer = *static_cast<Transfer*>(self);
        const std::string_view piece(data, size * count);
        return transfer.taker.piece(transfer.status(), piece) ? piece.size() : 0;
    }
};

Result<std::string> Requests::find_server(const Options& options) {
    if (options.api_server != "in-cluster") return options.api_server;
    std::string host = environment("KUBERNETES_SERVICE_HOST");
    const std::string port = environment("KUBERNETES_SERVICE_PORT");
    if (host.empty() || port.empty())
        return fail(
            "kubernetes.api_server: in-cluster, but KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are "
            "not set: this is no pod; allowed: https://host:port, or empty",
            ExitCode::configuration);
    if (host.contains(':')) host = "[" + host + "]";
    return "https://" + host + ":" + port;
}

Result<std::unique_ptr<Requests>> Requests::create(const Options& options, std::string server) {
    const auto curl = load_curl();
    if (!curl) return std::unexpected(curl.error());
    std::unique_ptr<Requests> requests(new Requests(**curl, options, std::move(server)));
    if (!requests->multi_) return fail("libcurl: out of memory");
    return requests;
}

Requests::Requests(const Curl& curl, const Options& options, std::string server)
    : curl_(curl), options_(options), server_(std::move(server)), multi_(curl.multi_init()) {}

Requests::~Requests() {
    for (const auto& transfer : transfers_)
        curl_.multi_remove_handle(multi_, transfer->easy);
    transfers_.clear();
    curl_.multi_cleanup(multi_);
}

void Requests::start(const Request& request, Taker taker) {
    auto owned = std::make_unique<Transfer>(curl_, std::move(taker));
    Transfer& transfer = *owned;
    if (!transfer.easy) return transfer.taker.end({0, "libcurl: out of memory", 0});
    const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(transfer.easy, option, value); };
    transfer.add_header("Accept: application/json");
    // Nobody hears the token on the way.
    if (server_.starts_with("https://") && !options_.token_file.empty())
        if (const std::string token = read_token(options_.token_file); !token.empty())
            transfer.add_header("Authorization: Bearer " + token);
    const std::string url = server_ + request.target;
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_HTTPHEADER, transfer.headers);
    set(CURLOPT_USERAGENT, "tcptrail/" TCPTRAIL_VERSION);
    set(CURLOPT_ACCEPT_ENCODING, "gzip");
    if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, connect_timeout_secs);
    set(CURLOPT_TIMEOUT, static_cast<long>(request.timeout_secs));
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_TCP_KEEPIDLE, keepalive_idle_secs);
    set(CURLOPT_TCP_KEEPINTVL, keepalive_interval_secs);
    set(CURLOPT_ERRORBUFFER, transfer.error);
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    set(CURLOPT_WRITEDATA, &transfer);
    transfers_.push_back(std::move(owned));
    if (curl_.multi_add_handle(multi_, transfer.easy) != CURLM_OK) finish(transfer.easy, CURLE_FAILED_INIT);
}

void Requests::run(std::chrono::milliseconds longest) {
    curl_.multi_poll(multi_, nullptr, 0, static_cast<int>(longest.count()), nullptr);
    int running = 0, left = 0;
    curl_.multi_perform(multi_, &running);
    while (const CURLMsg* message = curl_.multi_info_read(multi_, &left))
        if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
}

void Requests::finish(CURL* easy, CURLcode code) {
    const auto found =
        std::ranges::find_if(transfers_, [&](const auto& transfer) { return transfer->easy == easy; });
    if (found == transfers_.end()) return;
    const auto transfer = std::move(*found);
    transfers_.erase(found);
    curl_.multi_remove_handle(multi_, easy);
    Answer answer;
    answer.status = transfer->status();
    if (code != CURLE_OK)
        answer.error = server_ + ": " + (*transfer->error ? transfer->error : curl_.easy_strerror(code));
    curl_off_t wait = 0;
    curl_.easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait);
    answer.retry_after_secs = static_cast<uint32_t>(std::clamp<curl_off_t>(wait, 0, 600));
    transfer->taker.end(answer);
}

}  // namespace tcptrail::cluster
