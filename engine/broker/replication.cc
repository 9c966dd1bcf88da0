// What moved in the partitions of this broker, and who waits for it.
#include "engine/broker/handlers.h"
#include "engine/broker/turn.h"
#include "engine/protocol/api_keys.h"
#include "engine/protocol/messages/alter_partition.h"

namespace klamm::broker {

void Turn::wake_produces(const WaitKey& key, int64_t reached) {
  std::vector<parked::ParkedId> woken;
  p.produces.wake(key, reached, woken,
                  SIZE_MAX);  // each is answered now, or waits for another partition: bounded by what is parked
  for (parked::ParkedId id : woken) produce_woken(*this, id, key);
}

void Turn::drain(replication::Out& out) {
  for (replication::ToBroker& c : out.calls)
    call(broker_peer(c.to), static_cast<Channel>(kFetchChannels + c.lane), c.to, c.api, c.version, std::move(c.body),
         c.owner, c.timeout);
  if (!out.alter.empty()) {
    const Owner owner{kAlter, 0, 0};
    if (!call_controller(protocol::AlterPartitionRequest::kApiKey, 3, std::move(out.alter), owner,
                         p.config.request_timeout)) {
      net::Answer lost;
      lost.owner = owner;
      lost.error = IoError::unreachable;
      p.mailbox.push_back(std::move(lost));
    }
  }
  for (const TopicIdPartition& id : out.committed) {
    const replication::Partition* partition = p.replicas.find(id);
    if (!partition) continue;
    wake_produces({id, Wait::committed}, partition->high_watermark());
    p.stirred.insert({id, Wait::committed});
    groups_committed(id);
  }
  for (const TopicIdPartition& id : out.stable) p.stirred.insert({id, Wait::stable});
  for (const TopicIdPartition& id : out.grown) {
    const replication::Partition* partition = p.replicas.find(id);
    if (!partition) continue;
    wake_produces({id, Wait::written}, partition->acked_end());
    p.stirred.insert({id, Wait::written});
  }
  for (const TopicIdPartition& id : out.changed) {
    wake_produces({id, Wait::changed}, parked::kAnyValue);
    p.stirred.insert({id, Wait::changed});
    groups_moved(id);
  }
  if (!out.opened.empty()) poll_lifecycle();
  if (out.checkpoints) {
    const bool clean = p.clean_wanted;  // every log is closed
    p.clean_written = clean;
    write_checkpoints(*std::move(out.checkpoints), clean);
  }
  if (!out.failed_dirs.empty())
    fatal(1, "log directory " + p.boot.directories[out.failed_dirs.front().value] + " failed: this node stops");
}

// Nobody waits for the answers any more, and what a client asked to wait for hours would be kept as long. But records
// that came whole are appended, as far as the server keeps them: a Produce that has not done so goes on.
void Turn::forget_parked(ConnId conn) {
  const uint64_t owner = conn.packed();
  const bool serves = p.server.serves(conn);
  if (!serves) {
    if (p.producing && p.producing->request.ticket.conn == conn) p.producing.reset();
    std::erase_if(p.produces_next, [&](const Request& r) { return r.ticket.conn == conn; });
  }
  for (const parked::ParkedId id : p.fetches.owned(owner)) {
    Request r = std::move(p.fetches.take(id).request);
    if (serves && r.ticket.api == protocol::api::kProduce) {
      p.produces_next.push_back(std::move(r));
      p.again = true;
    } else {
      p.server.skip(io, r.ticket);
    }
  }
  for (const parked::ParkedId id : p.produces.owned(owner)) p.server.skip(io, p.produces.find(id)->ticket);
  for (const parked::ParkedId id : p.deletes.owned(owner)) p.server.skip(io, p.deletes.find(id)->ticket);
  p.fetches.forget(owner), p.produces.forget(owner), p.deletes.forget(owner);
}

// Who has left is told of no more.
uint64_t Turn::owner_of(const Ticket& ticket) const { return p.server.has(ticket.conn) ? ticket.conn.packed() : 0; }

// Once a turn, after all that happened: fetches see everything that the turn brought.
void Turn::wake_fetches() {
  if (p.stirred.empty()) return;
  std::vector<parked::ParkedId> woken;
  for (const WaitKey& key : std::exchange(p.stirred, {})) p.fetches.wake(key, parked::kAnyValue, woken, SIZE_MAX);
  for (parked::ParkedId id : woken)
    if (p.fetches.find(id)) {
      ParkedFetch f = p.fetches.take(id);
      serve_parked(*this, f);
    }
}

}  // namespace klamm::broker
