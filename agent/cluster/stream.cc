// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/stream.h"

namespace tcptrail::cluster {

namespace {
constexpr int in_list = 1;   // depth within the object around all
constexpr int in_array = 2;  // within its items
}  // namespace

bool ListReader::feed(std::string_view piece, const ObjectTaker& take_item) {
    for (const char c : piece)
        if (!step(c, take_item)) return false;
    return true;
}

bool ListReader::step(char c, const ObjectTaker& take_item) {
    const bool was_in_item = in_items_ && depth_ > in_array;
    const bool is_structure = !in_string_;
    if (in_string_) {
        if (!escaped_ && c == '"')
            in_string_ = false;
        else if (depth_ == in_list && key_.size() <= 64)
            key_ += c;  // as it is written: "items" never has an escape
        escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
        in_string_ = true;
        if (depth_ == in_list) key_.clear();
    } else if (c == '{' || c == '[') {
        ++depth_;
        // Values of other keys at this depth are strings or objects.
        if (c == '[' && depth_ == in_array && key_ == "items") {
            in_items_ = true;
            rest_ += c;
            return true;
        }
    } else if (c == '}' || c == ']') {
        --depth_;
    }
    if (!in_items_) {
        rest_ += c;
        return rest_.size() <= longest_object;
    }
    if (depth_ < in_array) {  // the array's end
        in_items_ = false;
        rest_ += c;
        return true;
    }
    if (depth_ == in_array && !was_in_item) return true;  // between two items
    item_ += c;
    if (item_.size() > longest_object) return false;
    if (is_structure && was_in_item && depth_ == in_array) {
        const bool goes_on = take_item(item_);
        item_.clear();
        return goes_on;
    }
    return true;
}

bool LineReader::feed(std::string_view piece, const ObjectTaker& take_line) {
    while (!piece.empty()) {
        const size_t end = piece.find('\n');
        line_ += piece.substr(0, end);
        if (line_.size() > longest_object) return false;
        if (end == std::string_view::npos) return true;
        piece.remove_prefix(end + 1);
        const bool goes_on = line_.empty() || take_line(line_);
        line_.clear();
        if (!goes_on) return false;
    }
    return true;
}

}  // namespace tcptrail::cluster
