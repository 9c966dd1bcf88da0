// Writes a small seed corpus: each message in its lowest and highest version, as body and as request; batches of each
// codec; directories that logs have left, and what each reader of stored things is for.
#include "tests/fuzz/seeds.h"

#include <fstream>
#include <iostream>

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/json.h"
#include "tests/engine/protocol/random_message.h"

namespace {

using namespace klamm;
using namespace klamm::protocol;
namespace fs = std::filesystem;

void save(const fs::path& folder, const std::string& name, const Slice& bytes) {
  fuzz::save(folder, name, bytes.span());
}

void save_message(const fs::path& folder, size_t index, int16_t version, test::Dice& dice) {
  const MessageDescriptor& m = *all_messages()[index];
  const std::string name = std::string(m.name) + "-" + std::to_string(version);
  Arena arena;
  const void* message = test::random_message(m, {.version = version, .unknown_tags = true}, arena, dice);
  Writer body;
  body.u8(static_cast<uint8_t>(index));
  body.u8(static_cast<uint8_t>(index >> 8));
  body.u8(static_cast<uint8_t>(version - m.versions.low));
  m.encode(body, version, message);
  save(folder / "message", name, body.finish_contiguous());
  if (m.kind != MessageKind::request) return;
  Writer frame;
  begin_request(frame, {m.id, version, 1, "seed"});
  m.encode(frame, version, message);
  const Slice whole = frame.finish_contiguous();
  save(folder / "frame", name, whole.part(4, whole.size() - 4));
}

void save_batch(const fs::path& folder, Compression c) {
  BatchBuilder builder({.compression = c, .producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
  const RecordHeader headers[] = {{"k", Bytes::of(as_bytes("v"))}};
  for (int i = 0; i < 3; ++i) {
    builder.add({.timestamp = 1000 + i,
                 .key = Bytes::of(as_bytes("key")),
                 .value = Bytes::of(as_bytes("value value value")),
                 .headers = headers});
  }
  save(folder / "batch", name(c), builder.finish());
}

}  // namespace

void klamm::fuzz::save(const fs::path& folder, const std::string& name, ByteSpan bytes) {
  fs::create_directories(folder);
  std::ofstream file(folder / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_seeds FOLDER\n";
    return 2;
  }
  test::Dice dice(1);
  for (size_t i = 0; i < all_messages().size(); ++i) {
    const Versions v = all_messages()[i]->versions;
    save_message(argv[1], i, v.low, dice);
    if (v.high != v.low) save_message(argv[1], i, v.high, dice);
  }
  for (int c = 0; c <= 4; ++c) save_batch(argv[1], static_cast<Compression>(c));
  fuzz::save_directories(fs::path(argv[1]) / "directory");
  fuzz::save_records(fs::path(argv[1]) / "records");
}
