// SPDX-License-Identifier: Apache-2.0
#include "agent/context/container_names.h"

#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/unit/temporary_folder.h"

using tcptrail::context::ContainerNames;

namespace {

const std::string web = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string db = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
}

}  // namespace

TEST_CASE("container names: Docker's", "[unit]") {
    const tests::TemporaryFolder folder;
    write(folder.path() + "/containers/" + web + "/config.v2.json",
          R"({"ID":")" + web + R"(","Name":"/web","Config":{"Image":"nginx:1"}})");
    ContainerNames names(folder.path(), "");
    CHECK(names.find(web) == "web");
    CHECK(names.find(db).empty());
    CHECK(names.find("").empty());
    // It was removed, and its connections end.
    std::filesystem::remove_all(folder.path() + "/containers");
    CHECK(names.find(web) == "web");
}

TEST_CASE("container names: podman's", "[unit]") {
    const tests::TemporaryFolder folder;
    write(folder.path() + "/overlay-containers/containers.json",
          R"([{"id":"x"},{"id":")" + web + R"(","names":["web"],"image":"y"}])");
    write(folder.path() + "/overlay-containers/volatile-containers.json",
          R"([{"id":")" + db + R"(","names":["db","other"]}])");
    ContainerNames names("/nonexistent", folder.path());
    CHECK(names.find(web) == "web");
    CHECK(names.find(db) == "db");
}

TEST_CASE("container names: files that are not what they should be", "[unit]") {
    const tests::TemporaryFolder folder;
    const char* text =
        GENERATE("", "{", "[]", "null", R"({"Name":1})", R"({"id":1})", R"([1,{"id":2,"names":"x"}])");
    write(folder.path() + "/containers/" + web + "/config.v2.json", text);
    write(folder.path() + "/overlay-containers/containers.json", text);
    ContainerNames names(folder.path(), folder.path());
    CHECK(names.find(web).empty());
}
