// What the active controller knows of brokers beside the image. Soft: made anew at each activation.
#pragma once
#include <map>

#include "engine/base/chance.h"
#include "engine/base/units.h"

namespace klamm::controller {

struct Session {
  BrokerEpoch epoch = -1;  // of the registration that it belongs to
  Instant last_contact;
  bool heard = false;                   // this controller heard it itself, and nothing since says that it is gone
  Offset metadata_offset = -1;          // the last it reported to have applied
  Offset controlled_shutdown_end = -1;  // >= 0: it may go when all active brokers have applied what lies before
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("last_contact", last_contact), v("heard", heard), v("metadata_offset", metadata_offset);
    v("controlled_shutdown_end", controlled_shutdown_end);
  }
};

struct Soft {
  std::map<NodeId, Session> sessions;  // one for each registered broker
  Instant balance_at = kNever;         // next look for leaders that are not preferred
  Instant elect_at = kNever;           // next look for leaderless partitions that may be led uncleanly
  template<class V>
  void fields(V& v) const {
    v("sessions", sessions), v("balance_at", balance_at), v("elect_at", elect_at);
  }
};

// Ordinals of what this machine drew; never reset, so that two activations draw differently.
struct Draws {
  Dice placement;
  uint64_t topic_ids = 0;
  template<class V>
  void fields(V& v) const {
    v("placement", placement), v("topic_ids", topic_ids);
  }
};

}  // namespace klamm::controller
