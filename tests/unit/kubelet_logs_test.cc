// SPDX-License-Identifier: Apache-2.0
#include "agent/context/kubelet_logs.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/unit/temporary_folder.h"

namespace fs = std::filesystem;
using tcptrail::context::KubeletLogs;

namespace {

const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string other_id = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const std::string uid = "8c1a2b3c-1111-2222-3333-444455556666";
const std::string uid_of_static = "fedcba9876543210fedcba9876543210";

// /var/log of a node.
class Logs {
public:
    Logs() {
        fs::create_directories(path() + "/pods");
        fs::create_directories(path() + "/containers");
    }

    std::string path() const { return folder_.path(); }
    void pod(const std::string& name) const { fs::create_directories(path() + "/pods/" + name); }
    void container(const std::string& name) const {
        fs::create_symlink("/nonexistent", path() + "/containers/" + name);
    }

private:
    tests::TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("kubelet's logs: names of pods", "[unit]") {
    const Logs logs;
    logs.pod("shop_web-7d4b9c6f5-x2x9z_" + uid);
    logs.pod("kube-system_etcd-node1.example_" + uid_of_static);
    KubeletLogs names(logs.path());
    const auto* pod = names.pod(uid);
    REQUIRE(pod != nullptr);
    CHECK(pod->pod == "web-7d4b9c6f5-x2x9z");
    CHECK(pod->name_space == "shop");
    pod = names.pod(uid_of_static);
    REQUIRE(pod != nullptr);
    CHECK(pod->pod == "etcd-node1.example");
    CHECK(pod->name_space == "kube-system");
    CHECK(names.pod("8c1a2b3c-0000-2222-3333-444455556666") == nullptr);
    CHECK(names.pod("") == nullptr);
}

TEST_CASE("kubelet's logs: names of containers", "[unit]") {
    const Logs logs;
    logs.container("web-7d4b9c6f5-x2x9z_shop_side-car-" + id + ".log");
    // A name that was too long has lost its end.
    logs.container("web_shop_" + std::string(150, 'a') + "-" + other_id.substr(0, 40) + ".log");
    KubeletLogs names(logs.path());
    CHECK(names.container(id) == "side-car");
    CHECK(names.container(other_id).empty());
    CHECK(names.container("").empty());
}

TEST_CASE("kubelet's logs: what comes later is found, what is gone stays known", "[unit]") {
    const Logs logs;
    KubeletLogs names(logs.path());
    CHECK(names.pod(uid) == nullptr);
    CHECK(names.container(id).empty());
    logs.pod("shop_web_" + uid);
    logs.container("web_shop_web-" + id + ".log");
    // Not at each question: what is not there costs nothing.
    CHECK(names.pod(uid) == nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    REQUIRE(names.pod(uid) != nullptr);
    CHECK(names.container(id) == "web");
    fs::remove_all(logs.path() + "/pods");
    fs::remove_all(logs.path() + "/containers");
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    CHECK(names.pod(uid_of_static) == nullptr);
    CHECK(names.pod(uid) != nullptr);
    CHECK(names.container(id) == "web");
}

TEST_CASE("kubelet's logs: what no kubelet writes is passed over", "[unit]") {
    const Logs logs;
    for (const char* name :
         {"lost+found", "_", "__", "shop_web", "shop__x", "shop_web_", "Shop_web_u", "shop_w\neb_u"})
        logs.pod(name);
    for (const std::string& name :
         {std::string("a.log"), "web_shop_-" + id + ".log", "_shop_web-" + id + ".log",
          "web_shop_web" + id + ".log", "web_shop_web-" + id})
        logs.container(name);
    KubeletLogs names(logs.path());
    for (const char* nobody : {"x", "u", "web", ""})
        CHECK(names.pod(nobody) == nullptr);
    CHECK(names.container(id).empty());

    KubeletLogs nowhere("/nonexistent");
    CHECK(nowhere.pod(uid) == nullptr);
    KubeletLogs none("");
    CHECK(none.pod(uid) == nullptr);
    CHECK(none.container(id).empty());
}
