// SPDX-License-Identifier: Apache-2.0
//
// Objects out of an answer that comes in pieces, one at a time: a list of all pods of a cluster has tens of
// megabytes, of which no more than one pod is held.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace tcptrail::cluster {

// The API server takes no object that is larger than etcd's limit, 1.5 MiB; JSON may be some times that.
inline constexpr size_t longest_object = 8u << 20;

// Gets an object as JSON; false ends the reading.
using ObjectTaker = std::function<bool(std::string_view json)>;

// A list: {"kind": …, "metadata": {…}, "items": [ … ]}, in any order.
class ListReader {
public:
    // False: the taker said so, or it is no list (an object that is too long is none).
    bool feed(std::string_view piece, const ObjectTaker& take_item);
    // The list without its items, once all is read.
    const std::string& rest() const { return rest_; }

private:
    bool step(char c, const ObjectTaker& take_item);

    std::string rest_;
    std::string item_;
    std::string key_;  // of the object around all, as it was read last
    int depth_ = 0;
    bool in_string_ = false, escaped_ = false, in_items_ = false;
};

// A watch: one object to a line.
class LineReader {
public:
    bool feed(std::string_view piece, const ObjectTaker& take_line);

private:
    std::string line_;
};

}  // namespace tcptrail::cluster
