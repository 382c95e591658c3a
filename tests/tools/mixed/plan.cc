// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/mixed/plan.h"

#include <algorithm>
#include <iterator>
#include <random>

namespace mix {
namespace {

constexpr unsigned least_of_process = 20;
constexpr unsigned most_of_process = 200;
constexpr unsigned most_clients = 3;

constexpr Fate failures[] = {Fate::refused,   Fate::timed_out,     Fate::unreachable,
                             Fate::abandoned, Fate::no_local_port, Fate::denied};
constexpr uint32_t ways_to_fail = std::size(failures);

// In which the attempts of a group are made.
using Deck = std::vector<Attempt>;

class Dealer {
public:
    explicit Dealer(uint32_t seed) : random_(seed) {}

    void add(Deck& deck, Fate fate, uint32_t count) {
        for (uint32_t i = 0; i < count; i++)
            deck.push_back({next_number_++, fate});
    }

    void add_established(Deck& deck, uint32_t count) {
        // A third is closed by the client, a third by the server; each resets a sixth.
        constexpr Fate turns[] = {
            Fate::client_closes,        Fate::server_closes,     Fate::client_resets,
            Fate::server_resets,        Fate::client_shuts_down, Fate::server_closes,
            Fate::client_closes,        Fate::server_closes,     Fate::client_resets_early,
            Fate::server_leaves_unread, Fate::client_shuts_down, Fate::server_closes};
        for (uint32_t i = 0; i < count; i++)
            add(deck, turns[i % std::size(turns)], 1);
    }

    // Shuffles the deck and cuts it.
    void deal(Deck deck, Place place, bool waits, std::vector<Group>& to) {
        std::shuffle(deck.begin(), deck.end(), random_);
        for (size_t at = 0; at < deck.size();) {
            Group group = {.place = place,
                           .family = static_cast<Family>(between(0, 2)),
                           .clients = between(1, most_clients),
                           .workers = between(0, 1) == 1 ? between(2, 3) : 0,
                           .waits = waits,
                           .attempts = {}};
            const size_t wanted = size_t{group.clients} * between(least_of_process, most_of_process);
            const size_t size = std::min(wanted, deck.size() - at);
            group.attempts.assign(deck.begin() + static_cast<ptrdiff_t>(at),
                                  deck.begin() + static_cast<ptrdiff_t>(at + size));
            at += size;
            to.push_back(std::move(group));
        }
    }

    void shuffle(std::vector<Group>& groups) { std::shuffle(groups.begin(), groups.end(), random_); }

private:
    unsigned between(unsigned least, unsigned most) {
        return std::uniform_int_distribution<unsigned>(least, most)(random_);
    }

    std::mt19937 random_;
    uint32_t next_number_ = 0;
};

// How many lifecycles go to each place.
struct Share {
    uint32_t failed[ways_to_fail] = {};
    uint32_t established = 0;
};

}  // namespace

unsigned Group::established() const {
    return static_cast<unsigned>(
        std::ranges::count_if(attempts, [](const Attempt& each) { return is_established(each.fate); }));
}

std::vector<Group> make_plan(uint32_t lifecycles, uint32_t seed) {
    // Of 19 lifecycles 18 are ends of 9 connections, and one is a failed attempt.
    uint32_t failed = lifecycles / 19;
    failed += (lifecycles - failed) % 2;
    const uint32_t established = (lifecycles - failed) / 2;

    Share shares[places];
    Share& home = shares[static_cast<size_t>(Place::home)];
    Share& apart = shares[static_cast<size_t>(Place::apart)];
    Share& link = shares[static_cast<size_t>(Place::link)];
    Share& tight = shares[static_cast<size_t>(Place::tight)];
    uint32_t failed_at_home = 0;
    for (uint32_t way = 0; way < ways_to_fail; way++) {
        const uint32_t count = failed / ways_to_fail + (way < failed % ways_to_fail ? 1 : 0);
        if (failures[way] == Fate::no_local_port) {
            tight.failed[way] = count;
            continue;
        }
        home.failed[way] = count * 3 / 5;
        apart.failed[way] = (count - home.failed[way]) / 3;
        link.failed[way] = count - home.failed[way] - apart.failed[way];
        failed_at_home += home.failed[way];
    }
    home.established = (lifecycles / 2 - failed_at_home) / 2;
    apart.established = (established - home.established) / 3;
    link.established = established - home.established - apart.established;

    Dealer dealer(seed);
    std::vector<Group> groups;
    for (size_t place = 0; place < places; place++) {
        Deck deck;
        Deck waiting;
        for (uint32_t way = 0; way < ways_to_fail; way++)
            dealer.add(failures[way] == Fate::timed_out ? waiting : deck, failures[way],
                       shares[place].failed[way]);
        dealer.add_established(deck, shares[place].established);
        dealer.deal(std::move(deck), static_cast<Place>(place), false, groups);
        dealer.deal(std::move(waiting), static_cast<Place>(place), true, groups);
    }
    dealer.shuffle(groups);
    return groups;
}

}  // namespace mix
