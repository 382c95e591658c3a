// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/stream.h"

#include <string>
#include <vector>

#include "agent/cluster/json.h"
#include "tests/catch.h"

using namespace tcptrail::cluster;

namespace {

struct Read {
    bool good = true;
    std::vector<std::string> objects;
    std::string rest;
};

Read read_list(std::string_view text, size_t piece) {
    Read read;
    ListReader reader;
    for (size_t at = 0; read.good && at < text.size(); at += piece)
        read.good = reader.feed(text.substr(at, piece), [&](std::string_view item) {
            read.objects.emplace_back(item);
            return true;
        });
    read.rest = reader.rest();
    return read;
}

}  // namespace

TEST_CASE("stream: items of a list, however it is cut", "[cluster]") {
    const std::string text =
        R"({"kind":"PodList","metadata":{"resourceVersion":"7","x":["items",{}]},"items":[{"a":"}]\"\\"},)"
        "\n "
        R"({"b":{"items":[1,{"c":"\u007b"}]}} , {}],"later":"items"})";
    for (size_t piece = 1; piece <= text.size(); ++piece) {
        INFO(piece);
        const Read read = read_list(text, piece);
        CHECK(read.good);
        CHECK(read.objects ==
              std::vector<std::string>{R"({"a":"}]\"\\"})", R"({"b":{"items":[1,{"c":"\u007b"}]}})", "{}"});
        const auto rest = parse_json(read.rest);
        REQUIRE(rest);
        CHECK(string_in(member_of(*rest, "metadata"), "resourceVersion") == "7");
        CHECK(member_of(*rest, "items").empty());
        CHECK(string_in(*rest, "later") == "items");
    }
}

TEST_CASE("stream: lists without items, and what is no list", "[cluster]") {
    for (const char* text :
         {R"({"items":null,"metadata":{}})", R"({"items":[]})", "{}", "", "[]", "[[{}]]", R"({"other":[{}]})",
          R"({"items":{"items":[{}]}})", R"({"items\"":[{}]})", R"({"\u0020items":[{}]})"}) {
        INFO(text);
        const Read read = read_list(text, 3);
        CHECK(read.good);
        CHECK(read.objects.empty());
        CHECK(read.rest == text);
    }
}

TEST_CASE("stream: an object that is too long ends the reading", "[cluster]") {
    const std::string long_text(longest_object, 'x');
    CHECK_FALSE(read_list(R"({"items":[{"a":")" + long_text, 1 << 20).good);
    CHECK_FALSE(read_list(R"({"a":")" + long_text, 1 << 20).good);
    LineReader lines;
    CHECK_FALSE(lines.feed(long_text + "x", [](std::string_view) { return true; }));
}

TEST_CASE("stream: lines, however they are cut", "[cluster]") {
    const std::string text = "{\"a\":1}\n\n{\"b\":2}\n{\"c\"";
    for (size_t piece = 1; piece <= text.size(); ++piece) {
        LineReader reader;
        std::vector<std::string> lines;
        for (size_t at = 0; at < text.size(); at += piece)
            CHECK(reader.feed(std::string_view(text).substr(at, piece), [&](std::string_view line) {
                lines.emplace_back(line);
                return true;
            }));
        CHECK(lines == std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"});
    }
}

TEST_CASE("stream: who takes may have enough", "[cluster]") {
    int taken = 0;
    ListReader list;
    CHECK_FALSE(list.feed(R"({"items":[{},{},{}]})", [&](std::string_view) { return ++taken < 2; }));
    CHECK(taken == 2);
    LineReader lines;
    CHECK_FALSE(lines.feed("a\nb\nc\n", [&](std::string_view) { return ++taken < 4; }));
    CHECK(taken == 4);
}
