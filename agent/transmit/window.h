// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "agent/spool/batch.h"

namespace tcptrail::transmit {

// The batches that were taken from a lane of the spool and are not done with, and how far each of their
// messages is. What was acknowledged stays so while the rest of its batch is sent again.
class Window {
public:
    struct Entry;

    // A message. Its address stays until it is done.
    struct Item {
        enum class State : uint8_t { waiting, sent, done };
        Entry* entry;
        State state;
        std::chrono::steady_clock::time_point sent_at{};

        uint64_t bytes() const;  // key and value
    };

    struct Entry {
        spool::Batch batch;
        std::vector<Item> items;  // one for each message
        uint32_t not_done = 0;
        std::list<Entry>::iterator self;
    };

    void add(spool::Batch batch);

    // The next message to send, oldest first; nullptr: none until add() or again().
    Item* next();
    static const spool::MessageView& message(const Item& item);
    // The oldest that is not done; the window is not empty.
    const Item& oldest() const;

    // What became of it.
    void sent(Item& item, std::chrono::steady_clock::time_point now);
    void failed(Item& item);  // waits again, for again()
    std::optional<uint64_t> done(
        Item& item);  // the batch's id when all of it is done: then its items are gone

    // From the oldest on: next() returns what failed.
    void again();
    // Reports on what was sent will not come: it waits again.
    void forget_sent();

    bool empty() const { return entries_.empty(); }
    uint64_t bytes() const { return bytes_; }        // payload of all batches
    uint64_t messages() const { return messages_; }  // of all batches, done ones too
    uint64_t not_done() const { return not_done_; }
    uint64_t outstanding() const { return outstanding_; }  // sent, neither failed nor done
    uint64_t outstanding_bytes() const { return outstanding_bytes_; }

private:
    void no_longer_sent(const Item& item);

    std::list<Entry> entries_;
    std::list<Entry>::iterator entry_ = entries_.end();  // where next() looks first
    size_t index_ = 0;
    uint64_t bytes_ = 0;
    uint64_t messages_ = 0;
    uint64_t not_done_ = 0;
    uint64_t outstanding_ = 0;
    uint64_t outstanding_bytes_ = 0;
};

}  // namespace tcptrail::transmit
