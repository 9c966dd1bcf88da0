// What a Produce costs before and after the log: decoding its request, checking its batch, encoding its reply.
#include <benchmark/benchmark.h>

#include "engine/base/crc32c.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/messages/fetch.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/messages/produce.h"

namespace klamm {
namespace {

using namespace protocol;

Slice make_batch(int64_t records, size_t value_bytes) {
  const std::vector<uint8_t> value(value_bytes, 'x');
  BatchBuilder b({.size_hint = records * (value_bytes + 10) + kBatchHeaderSize});
  for (int64_t i = 0; i < records; ++i) b.add_value(1'700'000'000'000 + i, value);
  return b.finish();
}

ProduceRequest make_request(Arena& arena, const Slice& batch) {
  ProduceRequest request;
  request.acks = -1;
  auto& topic = request.topic_data.add(arena);
  topic.name = "orders";
  topic.partition_data.add(arena).records = Records::of(batch.span());
  return request;
}

void produce_request_decode(benchmark::State& state) {
  Arena arena;
  const Slice batch = make_batch(1, 100);
  Writer w;
  encode(w, 7, make_request(arena, batch));
  const Slice bytes = w.finish_contiguous();
  for (auto _ : state) {
    arena.reset();
    Reader r(bytes.span());
    ProduceRequest request;
    benchmark::DoNotOptimize(decode(r, arena, 7, request));
  }
}
BENCHMARK(produce_request_decode);

void produce_response_encode(benchmark::State& state) {
  Arena arena;
  ProduceResponse response;
  auto& topic = response.responses.add(arena);
  topic.name = "orders";
  topic.partition_responses.add(arena).base_offset = 42;
  for (auto _ : state) {
    Writer w;
    encode_response(w, 7, 1, response);
    benchmark::DoNotOptimize(w.finish());
  }
}
BENCHMARK(produce_response_encode);

void metadata_response_encode(benchmark::State& state) {
  Arena arena;
  MetadataResponse response;
  for (int32_t id = 1; id <= 3; ++id) {
    auto& broker = response.brokers.add(arena);
    broker.node_id = id, broker.host = "127.0.0.1", broker.port = 9092;
  }
  auto& topic = response.topics.add(arena);
  topic.name = "orders";
  for (int32_t p = 0; p < state.range(0); ++p) {
    auto& partition = topic.partitions.add(arena);
    partition.partition_index = p, partition.leader_id = 1;
    for (int32_t id = 1; id <= 3; ++id) partition.replica_nodes.add(arena) = partition.isr_nodes.add(arena) = id;
  }
  for (auto _ : state) {
    Writer w;
    encode_response(w, 12, 1, response);
    benchmark::DoNotOptimize(w.finish());
  }
}
BENCHMARK(metadata_response_encode)->Arg(6)->Arg(1000);

void batch_check(benchmark::State& state) {
  const Slice batch = make_batch(state.range(0), 100);
  for (auto _ : state) benchmark::DoNotOptimize(check_batch(batch.span()));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
}
BENCHMARK(batch_check)->Arg(1)->Arg(100)->Arg(5000);

void batch_walk(benchmark::State& state) {
  const Slice batch = make_batch(state.range(0), 100);
  const BatchHeader header = *check_batch(batch.span());
  for (auto _ : state) {
    auto open = OpenBatch::open(header, batch.span(), 1 << 26);
    auto records = open->records();
    Record record;
    while (records.next(record)) benchmark::DoNotOptimize(record.offset);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(batch_walk)->Arg(100);

void batch_build(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(make_batch(state.range(0), 100));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(batch_build)->Arg(1)->Arg(100);

}  // namespace
}  // namespace klamm
