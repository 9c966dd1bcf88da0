// A walk over a log from batch to batch that knows which of them were aborted, and which markers nobody needs any more:
// those without a batch of their transaction before them.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "engine/log/transactions.h"

namespace klamm::log {

// A value. The batches come in the order of their offsets.
class CleanTransactions final {
 public:
  CleanTransactions() = default;
  // All transactions that were aborted by a marker from where the walk begins on.
  explicit CleanTransactions(std::vector<AbortedTxn> aborted);
  // A batch of data. True: it was aborted.
  bool is_aborted(const BatchHeader& batch);
  struct Marker {
    bool needless = false;
    std::optional<AbortedTxn> still;  // what it aborts, if there is something left of it
  };
  // A control batch and its bytes.
  Marker on_control(const BatchHeader& batch, ByteSpan bytes);
  template<class V>
  void fields(V& v) const {
    v("aborted", aborted_), v("next", next_), v("going", going_), v("committed", committed_);
  }

 private:
  struct Going {
    AbortedTxn txn;
    bool seen = false;  // a batch of it
    template<class V>
    void fields(V& v) const {
      v("txn", txn), v("seen", seen);
    }
  };
  void begin_up_to(Offset last);

  std::vector<AbortedTxn> aborted_;  // by where they begin
  size_t next_ = 0;                  // of these, the first that has not begun
  std::map<ProducerId, Going> going_;
  std::set<ProducerId> committed_;  // in whose transaction under way a batch was seen
};

}  // namespace klamm::log
