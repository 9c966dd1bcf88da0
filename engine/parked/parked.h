// Parked requests (Kafka's purgatory): what cannot be answered yet waits on keys, each with a value the key must reach,
// and on a deadline. A Produce waits for the high watermark of each partition, a Fetch for more bytes, a JoinGroup for
// the others.
//
// Owned by the part that answers; holds values only. A watch is spent when it wakes: whoever finds its entry not ready
// sets a new one. So every wake costs what it wakes, not what waits.
//
// An entry may have an owner (the connection that asked, as a number that is not 0): `forget` ends all of one owner's.
//
// Order is determined: a key wakes by (value waited for, order of watching), a deadline fires by (deadline, order of
// parking).
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/base/slab.h"
#include "engine/base/units.h"

namespace klamm::parked {

using ParkedId = Handle<struct ParkedTag>;

// Fires once the key has come to `at`. The default fires at any wake.
template<class Key>
struct Watch {
  Key key;
  int64_t at = std::numeric_limits<int64_t>::min();
};
inline constexpr int64_t kAnyValue = std::numeric_limits<int64_t>::max();  // wakes every watch of a key

template<class Key, class T>
class Parked final {
 public:
  static constexpr size_t kMaxIdleKeys = 1024;  // keys without watches whose memory is kept for the next

  ParkedId park(std::span<const Watch<Key>> watches, Instant deadline, T value, uint64_t owner = 0) {
    const ParkedId id = entries_.add(Entry{std::move(value), deadline, {}, owner});
    if (owner != 0) owned_[owner].push_back(id);
    entries_.at(id).keys.reserve(watches.size());
    for (const Watch<Key>& w : watches) watch(id, w);
    if (deadline != kNever) {
      due_.push_back({deadline, ++last_, id});
      std::push_heap(due_.begin(), due_.end(), Later{});
    }
    return id;
  }

  // One more reason to look at the entry again.
  void watch(ParkedId id, const Watch<Key>& w) {
    entries_.at(id).keys.push_back(w.key);
    auto [it, fresh] = queues_.try_emplace(w.key);
    Queue& q = it->second;
    if (!fresh && q.live == 0) --idle_;
    q.add({w.at, id});
  }

  // Takes out of `key` the watches for values up to `reached`, at most `most`, and appends their entries' ids to `out`.
  // False: there are more. The entries stay parked until removed; one that watches a key at several values may come
  // again.
  bool wake(const Key& key, int64_t reached, std::vector<ParkedId>& out, size_t most) {
    const size_t before = out.size();
    const auto it = queues_.find(key);
    if (it == queues_.end() || it->second.live == 0) return true;
    Queue& q = it->second;
    bool all = true;
    while (q.head < q.items.size() && q.items[q.head].at <= reached) {
      const ParkedId id = q.items[q.head].id;
      if (Entry* e = entries_.find(id)) {
        if (most == 0) {
          all = false;
          break;
        }
        --most, --q.live;
        *std::find(e->keys.begin(), e->keys.end(), key) = e->keys.back();
        e->keys.pop_back();
        if (out.size() == before || out.back() != id) out.push_back(id);
      }
      ++q.head;
    }
    if (q.live == 0) went_idle(q);
    return all;
  }

  // Appends the ids of entries whose deadline has come; they stay parked until removed, but fire no second time.
  void expire(Instant now, std::vector<ParkedId>& out) {
    while (!due_.empty() && due_.front().at <= now) {
      out.push_back(due_.front().id);
      pop_due();
    }
  }

  T* find(ParkedId id) {
    Entry* e = entries_.find(id);
    return e ? &e->value : nullptr;
  }
  const T* find(ParkedId id) const { return const_cast<Parked*>(this)->find(id); }

  // Ends the entry and gives back its value. The id must be parked.
  T take(ParkedId id) {
    Entry& e = entries_.at(id);
    T value = std::move(e.value);
    const std::vector<Key> keys = std::move(e.keys);
    if (e.owner != 0) disown(e.owner, id);
    entries_.remove(id);
    for (const Key& key : keys) {
      Queue& q = queues_.find(key)->second;
      KLAMM_ASSERT(q.live > 0);
      if (--q.live == 0) {
        went_idle(q);
      } else if (q.items.size() - q.head > 2 * q.live + 16) {
        drop_stale(q);
      }
    }
    trim_due();
    if (due_.size() > 2 * entries_.size() + 64) drop_stale_due();
    return value;
  }
  void remove(ParkedId id) { (void)take(id); }

  std::vector<ParkedId> owned(uint64_t owner) const {  // in the order of parking
    const auto it = owned_.find(owner);
    return it == owned_.end() ? std::vector<ParkedId>() : it->second;
  }
  // The owner is gone: so is all that it waits for.
  void forget(uint64_t owner) {
    const auto it = owned_.find(owner);
    if (it == owned_.end()) return;
    while (!it->second.empty()) remove(it->second.back());
    owned_.erase(it);
  }

  // How many of the entry's watches have not fired.
  size_t watches_left(ParkedId id) const { return entries_.find(id)->keys.size(); }
  Instant next_deadline() const { return due_.empty() ? kNever : due_.front().at; }
  size_t size() const { return entries_.size(); }
  template<class V>
  void fields(V& v) const {
    v("entries", entries_), v("queues", queues_), v("owned", owned_), v("last", last_);
  }

 private:
  struct Entry {
    T value;
    Instant deadline = kNever;
    std::vector<Key> keys;  // of the watches not yet fired
    uint64_t owner = 0;
    template<class V>
    void fields(V& v) const {
      v("value", value), v("deadline", deadline), v("keys", keys), v("owner", owner);
    }
  };
  struct Item {
    int64_t at;
    ParkedId id;  // of a removed entry: skipped
    template<class V>
    void fields(V& v) const {
      v("at", at), v("id", id);
    }
  };
  // items[head..] ascend by `at`, equals in order of watching; `live` of them belong to parked entries.
  struct Queue {
    std::vector<Item> items;
    size_t head = 0;
    size_t live = 0;
    void add(Item item) {
      if (head > 32 && head * 2 > items.size()) {
        items.erase(items.begin(), items.begin() + static_cast<ptrdiff_t>(head));
        head = 0;
      }
      auto at = items.end();
      if (head < items.size() && item.at < items.back().at)
        at = std::upper_bound(items.begin() + static_cast<ptrdiff_t>(head), items.end(), item,
                              [](const Item& a, const Item& b) { return a.at < b.at; });
      items.insert(at, item);
      ++live;
    }
    template<class V>
    void fields(V& v) const {
      v("live", live);
      for (size_t i = head; i < items.size(); ++i) v("item", items[i]);
    }
  };
  struct Due {
    Instant at;
    uint64_t number;
    ParkedId id;
  };
  struct Later {
    bool operator()(const Due& a, const Due& b) const { return a.at != b.at ? a.at > b.at : a.number > b.number; }
  };

  // The list stays for the owner's next, until it is forgotten.
  void disown(uint64_t owner, ParkedId id) {
    std::vector<ParkedId>& ids = owned_.find(owner)->second;
    ids.erase(std::find(ids.begin(), ids.end(), id));
  }
  void pop_due() {
    std::pop_heap(due_.begin(), due_.end(), Later{});
    due_.pop_back();
    trim_due();
  }
  void trim_due() {
    while (!due_.empty() && !entries_.find(due_.front().id)) {
      std::pop_heap(due_.begin(), due_.end(), Later{});
      due_.pop_back();
    }
  }
  void drop_stale_due() {
    std::erase_if(due_, [&](const Due& d) { return !entries_.find(d.id); });
    std::make_heap(due_.begin(), due_.end(), Later{});
  }
  void drop_stale(Queue& q) {
    q.items.erase(q.items.begin(), q.items.begin() + static_cast<ptrdiff_t>(q.head));
    q.head = 0;
    std::erase_if(q.items, [&](const Item& i) { return !entries_.find(i.id); });
  }
  void went_idle(Queue& q) {
    q.items.clear();
    q.head = 0;
    if (++idle_ <= kMaxIdleKeys) return;
    std::erase_if(queues_, [](const auto& entry) { return entry.second.live == 0; });
    idle_ = 0;
  }

  Slab<Entry, ParkedId> entries_;
  std::map<Key, Queue> queues_;
  std::map<uint64_t, std::vector<ParkedId>> owned_;
  std::vector<Due> due_;  // a heap, the earliest first; may name removed entries, never at the front
  uint64_t last_ = 0;
  size_t idle_ = 0;  // queues without live watches
};

}  // namespace klamm::parked
