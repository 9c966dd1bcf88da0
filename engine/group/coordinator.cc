#include "engine/group/coordinator.h"

#include "engine/group/call.h"

namespace klamm::group {

Coordinator::Coordinator(const Config& config)
    : config_(config),
      runtime_({.max_batch_bytes = static_cast<size_t>(config.max_batch_bytes),
                .write_timeout = milliseconds(config.commit_timeout_ms)},
               Core(config)) {}

void Coordinator::set_max_batch_bytes(int32_t n) {
  config_.max_batch_bytes = std::max(n, 0);
  runtime_.set_max_batch_bytes(static_cast<size_t>(config_.max_batch_bytes));
}

void Coordinator::topics_deleted(Ctx& ctx, const TopicIds& topics, Out& out) {
  std::vector<int32_t> led;
  runtime_.for_each([&](int32_t partition) { led.push_back(partition); });
  Letters letters;
  for (const int32_t partition : led) {
    runtime_.note(partition, [&](Core& core) { core.forget_topics(ctx.now, topics); });
    // What cannot begin now is left to the timer.
    (void)runtime_.write(ctx, partition, letters, [](Core& core, Core::Op& op) { core.purge(op); });
  }
  deliver(ctx, letters, out);
}

void Coordinator::loaded(Ctx& ctx, int32_t partition, Offset end, Offset high_watermark, Out& out) {
  Letters letters;
  runtime_.loaded(ctx, partition, end, high_watermark, letters);
  deliver(ctx, letters, out);
}

void Coordinator::resigned(Ctx& ctx, int32_t partition, Out& out) {
  Letters letters;
  runtime_.resigned(ctx, partition, letters);
  deliver(ctx, letters, out);
}

void Coordinator::append_ended(Ctx& ctx, const coordinator::AppendEnd& end, Out& out) {
  Letters letters;
  runtime_.append_ended(ctx, end, letters);
  deliver(ctx, letters, out);
}

void Coordinator::high_watermark(Ctx& ctx, int32_t partition, Offset offset, Out& out) {
  Letters letters;
  runtime_.high_watermark(ctx, partition, offset, letters);
  deliver(ctx, letters, out);
}

void Coordinator::on_time(Ctx& ctx, Out& out) {
  if (runtime_.next_deadline() > ctx.now) return;
  Letters letters;
  runtime_.on_time(ctx, letters);
  deliver(ctx, letters, out);
}

uint64_t Coordinator::begin_gather(Call& call, uint32_t parts, std::vector<Slice> body) {
  KLAMM_ASSERT(parts > 0);
  const uint64_t id = ++last_gather_;
  gathers_.emplace(id, Gather{call.request.ticket, call.request.body, std::move(body),
                              std::vector<ErrorCode>(parts, ErrorCode::none), parts});
  return id;
}

void Coordinator::part_done(Ctx& ctx, uint64_t id, uint32_t part, ErrorCode error, Out& out) {
  const auto it = gathers_.find(id);
  KLAMM_ASSERT(it != gathers_.end());
  Gather& g = it->second;
  g.errors.at(part) = error;
  KLAMM_ASSERT_REL(g.left, >, 0u);
  if (--g.left > 0) return;
  const bool deletion = g.ticket.api == protocol::DeleteGroupsRequest::kApiKey;
  out.replies.push_back({g.ticket, deletion ? deletion_answer(ctx.arena(), g.ticket, g.request, g.errors)
                                            : fetch_answer(ctx.arena(), g.ticket, std::move(g.body), g.errors)});
  gathers_.erase(it);
}

void Coordinator::deliver(Ctx& ctx, Letters& letters, Out& out) {
  for (auto& a : letters.appends) out.appends.push_back(std::move(a));
  for (auto& r : letters.released) {
    const Origin& to = r.origin;
    if (to.gather != 0)
      part_done(ctx, to.gather, to.part, r.error, out);
    else if (r.error == ErrorCode::none)
      out.replies.push_back({to.ticket, std::move(r.body)});
    else
      out.replies.push_back({to.ticket, refusal(ctx.arena(), to.ticket, to.request, r.error)});
  }
}

}  // namespace klamm::group
