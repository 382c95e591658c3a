// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/window.h"

#include <algorithm>
#include <utility>

namespace tcptrail::transmit {

void Window::add(spool::Batch batch) {
    const auto entry = entries_.insert(entries_.end(), Entry());
    entry->items.assign(batch.messages.size(), Item{&*entry, Item::State::waiting, {}});
    entry->not_done = static_cast<uint32_t>(batch.messages.size());
    entry->batch = std::move(batch);
    entry->self = entry;
    bytes_ += entry->batch.payload.size();
    messages_ += entry->items.size();
    not_done_ += entry->items.size();
    if (entry_ == entries_.end()) {
        entry_ = entry;
        index_ = 0;
    }
}

Window::Item* Window::next() {
    for (; entry_ != entries_.end(); ++entry_, index_ = 0)
        for (; index_ < entry_->items.size(); index_++)
            if (entry_->items[index_].state == Item::State::waiting) return &entry_->items[index_];
    return nullptr;
}

const spool::MessageView& Window::message(const Item& item) {
    return item.entry->batch.messages[static_cast<size_t>(&item - item.entry->items.data())];
}

const Window::Item& Window::oldest() const {
    const auto& items = entries_.front().items;
    return *std::find_if(items.begin(), items.end(),
                         [](const Item& item) { return item.state != Item::State::done; });
}

uint64_t Window::Item::bytes() const {
    const spool::MessageView& view = message(*this);
    return view.key.size() + view.value.size();
}

void Window::sent(Item& item, std::chrono::steady_clock::time_point now) {
    item.state = Item::State::sent;
    item.sent_at = now;
    outstanding_++;
    outstanding_bytes_ += item.bytes();
}

void Window::no_longer_sent(const Item& item) {
    if (item.state != Item::State::sent) return;
    outstanding_--;
    outstanding_bytes_ -= item.bytes();
}

void Window::failed(Item& item) {
    no_longer_sent(item);
    item.state = Item::State::waiting;
}

std::optional<uint64_t> Window::done(Item& item) {
    no_longer_sent(item);
    item.state = Item::State::done;
    not_done_--;
    Entry& entry = *item.entry;
    if (--entry.not_done > 0) return std::nullopt;

    const uint64_t id = entry.batch.id;
    bytes_ -= entry.batch.payload.size();
    messages_ -= entry.items.size();
    if (entry_ == entry.self) {
        ++entry_;
        index_ = 0;
    }
    entries_.erase(entry.self);
    return id;
}

void Window::again() {
    entry_ = entries_.begin();
    index_ = 0;
}

void Window::forget_sent() {
    for (Entry& entry : entries_)
        for (Item& item : entry.items)
            if (item.state == Item::State::sent) failed(item);
}

}  // namespace tcptrail::transmit
