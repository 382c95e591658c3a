// SPDX-License-Identifier: Apache-2.0
#include "agent/config_yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/utf8.h"
#include "agent/config_values.h"

namespace tcptrail {

namespace {

// The configuration needs three. yaml-cpp recurses, and so does the destructor of the tree.
constexpr size_t max_depth = 16;

using Kind = YamlNode::Kind;

// Builds the tree from the parser's events, until the first mistake. Parsing goes on after it: yaml-cpp
// tells odd events of brackets that are not closed before it finds that, and that is what is wrong.
class TreeBuilder : public YAML::EventHandler {
public:
    const YamlPointer& root() const { return root_; }
    const std::optional<YamlError>& error() const { return error_; }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (documents_++ > 0)
            refuse(mark, "something follows after the end of the document; only one document is allowed");
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        add_leaf(make(Kind::null, mark), mark, anchor);
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_tag(mark, tag);
        auto node = make(Kind::scalar, mark);
        node->text = value;
        add_leaf(std::move(node), mark, anchor);
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto target = anchors_.find(anchor);
        if (target != anchors_.end()) {
            add(target->second, mark);
        } else {
            refuse(mark, "an alias stands inside of what it names; write it out");
            add(make(Kind::null, mark), mark);
        }
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        open(Kind::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        open(Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

private:
    // A list or map whose end has not come yet.
    struct Open {
        std::shared_ptr<YamlNode> node;
        YAML::anchor_t anchor = 0;
        std::optional<YamlEntry> entry;    // of a map: its value comes next
        std::map<std::string, int> lines;  // of a map: of the keys so far
    };

    void refuse(const YAML::Mark& mark, std::string message) {
        if (!error_) error_ = YamlError{mark.line + 1, std::move(message)};
    }

    static std::shared_ptr<YamlNode> make(Kind kind, const YAML::Mark& mark) {
        auto node = std::make_shared<YamlNode>();
        node->kind = kind;
        node->line = mark.line + 1;
        return node;
    }

    void check_tag(const YAML::Mark& mark, const std::string& tag) {
        // "?" is what yaml-cpp calls a plain node, "!" a quoted one.
        if (!tag.empty() && tag != "?" && tag != "!")
            refuse(mark, fmt::format("has the tag {}; tags are not allowed", quoted(tag)));
    }

    void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        check_tag(mark, tag);
        // Nothing may go on here: the stack is at stake.
        if (open_.size() == max_depth)
            throw YamlError{mark.line + 1, fmt::format("nested too deeply; allowed: {} levels", max_depth)};
        Open next;
        next.node = make(kind, mark);
        next.anchor = anchor;
        add(next.node, mark);
        open_.push_back(std::move(next));
    }

    void close() {
        if (open_.back().anchor != 0) anchors_[open_.back().anchor] = open_.back().node;
        open_.pop_back();
    }

    void add_leaf(std::shared_ptr<YamlNode> node, const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0) anchors_[anchor] = node;
        add(std::move(node), mark);
    }

    void add(YamlPointer node, const YAML::Mark& mark) {
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        Open& parent = open_.back();
        if (parent.node->kind == Kind::list) {
            parent.node->items.push_back(std::move(node));
        } else if (parent.entry) {
            parent.entry->value = std::move(node);
            parent.node->entries.push_back(*std::exchange(parent.entry, std::nullopt));
        } else {
            add_key(parent, *node, mark);
        }
    }

    void add_key(Open& parent, const YamlNode& key, const YAML::Mark& mark) {
        if (key.kind != Kind::scalar) refuse(mark, "a key is not text; allowed: text in front of the colon");
        const auto [first, added] = parent.lines.emplace(key.text, mark.line + 1);
        if (!added)
            refuse(mark, fmt::format("duplicate key {}, first in line {}; each key is allowed once",
                                     quoted(key.text), first->second));
        parent.entry = YamlEntry{key.text, mark.line + 1, nullptr};
    }

    int documents_ = 0;
    std::optional<YamlError> error_;
    YamlPointer root_ = std::make_shared<YamlNode>();
    std::vector<Open> open_;
    std::map<YAML::anchor_t, YamlPointer> anchors_;
};

// YAML is text: what yaml-cpp would take for another encoding, or read past, is refused before it sees it.
std::optional<YamlError> check_characters(std::string_view text) {
    int line = 1;
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        if (length == 0)
            return YamlError{line, fmt::format("byte 0x{:02x} is not UTF-8; the text must be UTF-8", byte)};
        if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f)
            return YamlError{line, fmt::format("control character U+{:04X}; allowed: printable text, in "
                                               "double quotes also \\x{:02x}",
                                               byte, byte)};
        if (byte == '\n') line++;
        text.remove_prefix(length);
    }
    return std::nullopt;
}

std::string_view line_of(std::string_view text, int line) {
    for (; line > 1; line--)
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    return text.substr(0, text.find('\n'));
}

// Told to yaml-cpp at the end of the text: it stops there even if quotes are still open.
constexpr std::string_view end_mark = "\n...\n";

YamlError explain(const YAML::Exception& exception, const std::string& text) {
    const size_t end = text.find_last_not_of("\r\n") + 1;
    const int lines =
        1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(end), '\n'));
    if (exception.mark.line >= lines)
        return {lines, "the text ends inside quotes or brackets; close what is open"};
    const int line = std::max(exception.mark.line + 1, 1);
    // yaml-cpp has several words for a tab in the indentation, and few of them say tab.
    const std::string_view bad = line_of(text, line);
    if (bad.substr(0, bad.find_first_not_of(" \t")).find('\t') != std::string_view::npos)
        return {line, "a tab indents the line; allowed: spaces"};
    return {line, fmt::format("not valid YAML: {}; check indentation, quotes and brackets near column {}",
                              one_line(exception.msg), std::max(exception.mark.column, 0) + 1)};
}

}  // namespace

std::expected<YamlPointer, YamlError> read_yaml(const std::string& text) {
    if (auto error = check_characters(text)) return std::unexpected(*error);
    try {
        std::istringstream input(text + std::string(end_mark));
        YAML::Parser parser(input);
        TreeBuilder builder;
        while (!builder.error() && parser.HandleNextDocument(builder)) {
        }
        if (builder.error()) return std::unexpected(*builder.error());
        return builder.root();
    } catch (const YamlError& error) {
        return std::unexpected(error);
    } catch (const YAML::Exception& exception) {
        return std::unexpected(explain(exception, text));
    } catch (const std::exception& exception) {
        return std::unexpected(
            YamlError{1, fmt::format("cannot be read: {}; it must be YAML", one_line(exception.what()))});
    }
}

}  // namespace tcptrail
