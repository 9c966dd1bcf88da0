// AddRaftVoter 0-1, RemoveRaftVoter 0 (KIP-853): refused, since the quorum's voters are static (kraft.version 0).
#include "engine/broker/handlers.h"
#include "engine/protocol/messages/add_raft_voter.h"
#include "engine/protocol/messages/remove_raft_voter.h"

namespace klamm::broker {
namespace {

template<class Query, class Response>
void refuse(Turn& t, const Request& r) {
  Query q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  Response m;
  const bool other = !is_null(q.cluster_id) && q.cluster_id != Str(t.p.startup.cluster_id);
  m.error_code = code(other ? ErrorCode::inconsistent_cluster_id : ErrorCode::unsupported_version);
  m.error_message = other ? "The request is for another cluster."
                          : "The voters are static: they cannot be changed while kraft.version is 0.";
  t.answer(r.ticket, m);
}

}  // namespace

void handle_raft_voters(Turn& t, Request& r) {
  if (r.ticket.api == protocol::AddRaftVoterRequest::kApiKey)
    return refuse<protocol::AddRaftVoterRequest, protocol::AddRaftVoterResponse>(t, r);
  refuse<protocol::RemoveRaftVoterRequest, protocol::RemoveRaftVoterResponse>(t, r);
}

}  // namespace klamm::broker
