// Who asked, who is called, and what came back: the values that requests and replies are to the parts of a machine.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/file_region.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm {

// Names one request that waits for its reply. It carries api and version, so that a reply is encoded at once in that
// version.
struct Ticket {
  ConnId conn;
  uint32_t slot = 0;  // order of the request on its connection
  int32_t correlation = 0;
  int16_t api = 0;
  int16_t version = 0;
  bool enveloped = false;  // came inside an Envelope: the node wraps the reply
  friend constexpr auto operator<=>(const Ticket&, const Ticket&) = default;
  template<class V>
  void fields(V& v) const {
    v("conn", conn), v("slot", slot), v("correlation", correlation), v("api", api), v("version", version),
        v("enveloped", enveloped);
  }
};

// An encoded response body, without header. Empty pieces are legal; the pieces follow each other, and regions of files
// lie between them.
struct Reply {
  Ticket ticket;
  std::vector<Slice> body;
  bool close = false;  // close the connection instead of answering
  std::vector<PlacedRegion> regions = {};
};

}  // namespace klamm
