// OffsetForLeaderEpoch 2-4: where an epoch ends in the leader's log (KIP-101, KIP-279, KIP-320).
#include "engine/protocol/messages/offset_for_leader_epoch.h"

#include "engine/broker/handlers.h"

namespace klamm::broker {

void handle_offset_for_leader_epoch(Turn& t, Request& r) {
  protocol::OffsetForLeaderEpochRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::OffsetForLeaderEpochResponse m;
  for (const auto& topic : q.topics) {
    auto& out = m.topics.add(t.arena());
    out.topic = topic.topic;
    for (const auto& x : topic.partitions) {
      auto& y = out.partitions.add(t.arena());
      y.partition = x.partition;
      const Located at = locate(t, topic.topic, Uuid{}, false, x.partition);
      if (at.error != ErrorCode::none) {
        y.error_code = code(at.error);
        continue;
      }
      const Result<void> leads = at.replica->leads(x.current_leader_epoch);
      if (!leads || !at.replica->log().ready()) {
        y.error_code = code(leads ? ErrorCode::not_leader_or_follower : leads.error().code);
        continue;
      }
      const OffsetAndEpoch end = at.replica->log().end_offset_for(x.leader_epoch);
      y.leader_epoch = end.epoch;
      y.end_offset = end.offset;
    }
  }
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
