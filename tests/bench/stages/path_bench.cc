// SPDX-License-Identifier: Apache-2.0
//
// What the capture thread does to a record from the ring on, up to the commit to the spool.
#include "agent/base/clock.h"
#include "agent/connections/tally.h"
#include "agent/encode/event.h"
#include "agent/outbox.h"
#include "tests/bench/stages/batches.h"
#include "tests/bench/stages/meter.h"

namespace tcptrail::bench {

namespace {

void path(benchmark::State& state) {
    Content& content = Content::get();
    const auto size = static_cast<size_t>(state.range(0));
    Folder folder("path");
    spool::Options options;
    options.directory = folder.path();
    auto spool = checked(spool::Spool::open(options));
    Releaser releaser(checked(spool->reader()));
    encode::EventEncoder encoder(content.host());
    connections::Tally tally;
    Outbox outbox;
    size_t at = 0;
    const uint64_t boot_to_unix = boot_to_unix_offset();
    Meter meter;
    for (auto _ : state) {
        for (size_t i = 0; i < size; ++i, ++at) {
            tcptrail_record room;
            const auto record = capture::decode(content.raw()[at % content.raw().size()], room);
            const auto connection = connections::connection_of(**record, content.kernel(), boot_to_unix);
            const auto identity = content.context().find(connection.owner);
            tally.add(connection, (*record)->ended_ns);
            outbox.add(encoder.encode_message(connection, identity, unix_nanos()));
        }
        checked(spool->append(outbox.messages(), next_mark()));
        outbox.clear();
    }
    meter.report(state, state.iterations() * size);
}
BENCHMARK(path)->Name("path/decode_to_spool")->Arg(100)->Arg(2000)->MinTime(3);

}  // namespace

}  // namespace tcptrail::bench
