// The active controller of the metadata quorum: requests and time in, records and replies out. Pure: the node proposes
// the records to the quorum and tells what was committed. On every voter; idle while another is active.
//
//   inactive --activate--> active --deactivate (leadership lost, or a proposal refused)--> inactive
//
// Hard state is the metadata image: one version per append that is not yet committed. Operations see the latest;
// replies leave when the appends they depend on are committed, and become NOT_CONTROLLER when leadership is lost.
// Sessions and timers are soft: made anew at each activation.
#pragma once
#include <deque>

#include "engine/base/ctx.h"
#include "engine/base/ticket.h"
#include "engine/controller/options.h"
#include "engine/controller/session.h"
#include "engine/metadata/image.h"

namespace klamm::controller {

// Records that must be appended as one batch at `base`, by the leader of `epoch`; in the order of the vector.
struct Append {
  LeaderEpoch epoch = 0;
  Offset base = 0;
  std::vector<Slice> records;  // encoded frames, the values of the log's records
};

// Filled by every call; the node drains it at once. Replies are ready to leave.
struct Out {
  std::vector<Append> appends;
  std::vector<Reply> replies;
};

class Controller final {
 public:
  explicit Controller(Options options);

  // This node leads the quorum in `epoch` and its epoch's first record is committed; `image` holds all records before
  // `next`, the offset of the next append. A fresh cluster gets its bootstrap records first.
  struct Activation {
    LeaderEpoch epoch = 0;
    Offset next = 0;
  };
  void activate(Ctx& ctx, const Activation& at, const metadata::Image& image, Out& out);
  // Everything not committed is forgotten. Also to be called when the quorum refuses an append.
  void deactivate(Ctx& ctx, Out& out);
  bool active() const { return active_; }
  LeaderEpoch epoch() const { return epoch_; }

  static bool serves(int16_t api);
  // A request of an api that it serves, in a version that the api table allows. Answered exactly once, maybe later.
  // While inactive: NOT_CONTROLLER at once. A body that does not decode closes the connection.
  void on_request(Ctx& ctx, const Ticket& ticket, const Slice& body, Out& out);
  // All records before `end` are committed.
  void committed(Ctx& ctx, Offset end, Out& out);

  // A registered broker's connection broke and its listener then refused a new one: it is dead, fence it now.
  void broker_refused(Ctx& ctx, NodeId broker, Out& out);
  // Its connection broke: no proof of death, but a new incarnation of it need not wait for the session to end.
  void broker_disconnected(NodeId broker);

  Instant next_deadline() const;
  void on_time(Ctx& ctx, Out& out);

  const metadata::Image& latest() const { return latest_; }  // with what is not committed; meaningful while active
  const std::map<NodeId, Session>& sessions() const { return soft_.sessions; }

  template<class V>
  void fields(V& v) const {
    v("active", active_), v("epoch", epoch_), v("next", next_), v("committed", committed_), v("latest", latest_);
    v("pending", pending_), v("soft", soft_), v("draws", draws_);
  }

 private:
  // Waits until all records before `end` are committed.
  struct Waiting {
    Offset end = 0;
    Reply reply;
    Slice request;  // to answer NOT_CONTROLLER in the request's own shape
    template<class V>
    void fields(V& v) const {
      v("end", end), v("ticket", reply.ticket), v("request", request);
    }
  };
  // Runs `work` on an Operation and appends what it emits.
  template<class Work>
  auto operate(Ctx& ctx, Out& out, Work&& work);
  template<class Request, class Response, class Work>
  void serve(Ctx& ctx, const Ticket& ticket, const Slice& body, Out& out, Work&& work);
  void append(Ctx& ctx, std::vector<Slice> records, Out& out);

  Options options_;
  bool active_ = false;
  LeaderEpoch epoch_ = 0;
  Offset next_ = 0;       // of the next append
  Offset committed_ = 0;  // committed_ <= next_
  metadata::Image latest_;
  std::deque<Waiting> pending_;  // ascending by end
  Soft soft_;
  Draws draws_;
};

// The reply that says `code` to a request that was not carried out, in the request's own shape (every topic of a
// CreateTopics gets the code). For any api that the controller serves.
Reply error_reply(Arena& arena, const Ticket& ticket, const Slice& body, ErrorCode code);

}  // namespace klamm::controller
