// A persistent ordered map: copies cost a counter, a change copies one path from the root, and versions share the rest.
// Counts are not atomic: a family of versions is touched by one thread at a time.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/base/assert.h"

namespace klamm {

// An AVL tree of counted nodes; each points to a counted entry, so that copying a path copies no keys or values.
// Keys are compared by `<`, with anything that compares to them. Order of iteration is the order of keys.
template<class K, class V>
class Pmap final {
  struct Node;

 public:
  struct Entry {
    K key;
    V value;
  };

  Pmap() = default;
  Pmap(const Pmap& o) : root_(o.root_), size_(o.size_) { retain(root_); }
  Pmap(Pmap&& o) noexcept : root_(std::exchange(o.root_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  Pmap& operator=(Pmap o) noexcept {
    std::swap(root_, o.root_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~Pmap() { release(root_); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() { *this = Pmap(); }

  // The pointer holds until the map is changed or destroyed.
  template<class Q>
  const V* find(const Q& key) const {
    const Node* n = root_;
    while (n) {
      if (key < n->item->entry.key)
        n = n->left;
      else if (n->item->entry.key < key)
        n = n->right;
      else
        return &n->item->entry.value;
    }
    return nullptr;
  }
  template<class Q>
  bool contains(const Q& key) const {
    return find(key) != nullptr;
  }

  // The value to change in place, made first if the key is new. The reference holds until the next change.
  template<class Q>
  V& write(const Q& key) {
    Item* item = nullptr;
    if (insert(root_, key, &item)) ++size_;
    return item->entry.value;
  }
  template<class Q>
  void set(const Q& key, V value) {
    write(key) = std::move(value);
  }
  template<class Q>
  bool erase(const Q& key) {
    if (!contains(key)) return false;  // so that a miss copies nothing
    remove(root_, key);
    --size_;
    return true;
  }

  // Forward over entries in the order of keys. Holds until the map is changed or destroyed.
  class Iterator final {
   public:
    const Entry& operator*() const {
      KLAMM_ASSERT(depth_ > 0);
      return path_[depth_ - 1]->item->entry;
    }
    const Entry* operator->() const { return &**this; }
    Iterator& operator++() {
      KLAMM_ASSERT(depth_ > 0);
      const Node* n = path_[--depth_];
      descend(n->right);
      return *this;
    }
    bool at_end() const { return depth_ == 0; }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.depth_ == b.depth_ && (a.depth_ == 0 || a.path_[a.depth_ - 1] == b.path_[b.depth_ - 1]);
    }

   private:
    friend class Pmap;
    static constexpr int kDepthMax = 48;  // the height of an AVL tree of 2^32 nodes is at most 46
    void push(const Node* n) {
      KLAMM_ASSERT_REL(depth_, <, kDepthMax);
      path_[depth_++] = n;
    }
    void descend(const Node* n) {
      for (; n; n = n->left) push(n);
    }
    const Node* path_[kDepthMax];  // the nodes not yet left whose left side is done; the last one is current
    int depth_ = 0;
  };
  Iterator begin() const {
    Iterator it;
    it.descend(root_);
    return it;
  }
  Iterator end() const { return Iterator(); }
  // The first entry whose key is not less than `key`.
  template<class Q>
  Iterator lower_bound(const Q& key) const {
    Iterator it;
    for (const Node* n = root_; n;) {
      if (n->item->entry.key < key) {
        n = n->right;
      } else {
        it.push(n);
        n = n->left;
      }
    }
    return it;
  }

  // Equal by content.
  friend bool operator==(const Pmap& a, const Pmap& b) {
    if (a.root_ == b.root_) return true;
    if (a.size_ != b.size_) return false;
    Iterator i = a.begin(), j = b.begin();
    for (; !i.at_end(); ++i, ++j)
      if (!(i->key == j->key) || !(i->value == j->value)) return false;
    return true;
  }
  template<class Visitor>
  void fields(Visitor& v) const {
    v("size", static_cast<int64_t>(size_));
    for (const Entry& e : *this) v("key", e.key), v("value", e.value);
  }
  // Checks order, balance and counts; for tests.
  void check() const {
    size_t n = 0;
    check_node(root_, &n);
    KLAMM_ASSERT_REL(n, ==, size_);
    const Entry* last = nullptr;
    for (const Entry& e : *this) {
      KLAMM_ASSERT(last == nullptr || last->key < e.key);
      last = &e;
    }
  }

 private:
  struct Item {
    uint32_t references;
    Entry entry;
  };
  struct Node {
    uint32_t references;
    int32_t height;
    Node* left;
    Node* right;
    Item* item;
  };

  static void retain(Node* n) {
    if (n) ++n->references;
  }
  static void release(Node* n) {  // recursion is as deep as the tree is high
    if (!n || --n->references != 0) return;
    release(n->left);
    release(n->right);
    release(n->item);
    delete n;
  }
  static void release(Item* i) {
    if (--i->references == 0) delete i;
  }
  static int32_t height(const Node* n) { return n ? n->height : 0; }

  // Makes the node at `slot` this version's own.
  static void own(Node*& slot) {
    if (slot->references == 1) return;
    Node* n = new Node{1, slot->height, slot->left, slot->right, slot->item};
    retain(n->left);
    retain(n->right);
    ++n->item->references;
    --slot->references;
    slot = n;
  }
  static void own_item(Node* n) {
    if (n->item->references == 1) return;
    Item* i = new Item{1, n->item->entry};
    --n->item->references;
    n->item = i;
  }
  static void update(Node* n) { n->height = 1 + std::max(height(n->left), height(n->right)); }
  static void rotate_right(Node*& slot) {  // slot is owned
    own(slot->left);
    Node* up = slot->left;
    slot->left = up->right;
    update(slot);
    up->right = slot;
    slot = up;
    update(slot);
  }
  static void rotate_left(Node*& slot) {
    own(slot->right);
    Node* up = slot->right;
    slot->right = up->left;
    update(slot);
    up->left = slot;
    slot = up;
    update(slot);
  }
  static void balance(Node*& slot) {  // slot is owned; its sides differ by at most two
    const int32_t lean = height(slot->left) - height(slot->right);
    KLAMM_ASSERT(lean >= -2 && lean <= 2);
    if (lean == 2) {
      if (height(slot->left->left) < height(slot->left->right)) {
        own(slot->left);
        rotate_left(slot->left);
      }
      rotate_right(slot);
    } else if (lean == -2) {
      if (height(slot->right->right) < height(slot->right->left)) {
        own(slot->right);
        rotate_right(slot->right);
      }
      rotate_left(slot);
    } else {
      update(slot);
    }
  }

  template<class Q>
  static bool insert(Node*& slot, const Q& key, Item** found) {
    if (!slot) {
      slot = new Node{1, 1, nullptr, nullptr, new Item{1, Entry{K(key), V()}}};
      *found = slot->item;
      return true;
    }
    own(slot);
    bool grown = false;
    if (key < slot->item->entry.key) {
      grown = insert(slot->left, key, found);
    } else if (slot->item->entry.key < key) {
      grown = insert(slot->right, key, found);
    } else {
      own_item(slot);
      *found = slot->item;
    }
    if (grown) balance(slot);
    return grown;
  }
  // Takes the first node out of an owned or shared subtree and gives its item away.
  static Item* take_first(Node*& slot) {
    own(slot);
    if (slot->left) {
      Item* item = take_first(slot->left);
      balance(slot);
      return item;
    }
    return unlink(slot);
  }
  // Removes an owned node with at most one child; the caller gets its item.
  static Item* unlink(Node*& slot) {
    KLAMM_ASSERT_REL(slot->references, ==, 1u);
    Node* gone = slot;
    slot = gone->left ? gone->left : gone->right;
    Item* item = gone->item;
    delete gone;
    return item;
  }
  template<class Q>
  static void remove(Node*& slot, const Q& key) {
    KLAMM_ASSERT(slot != nullptr);
    own(slot);
    if (key < slot->item->entry.key) {
      remove(slot->left, key);
    } else if (slot->item->entry.key < key) {
      remove(slot->right, key);
    } else if (slot->left && slot->right) {
      release(slot->item);
      slot->item = take_first(slot->right);
    } else {
      release(unlink(slot));
      return;
    }
    balance(slot);
  }
  static int32_t check_node(const Node* n, size_t* count) {
    if (!n) return 0;
    ++*count;
    const int32_t left = check_node(n->left, count), right = check_node(n->right, count);
    KLAMM_ASSERT(left - right >= -1 && left - right <= 1);
    KLAMM_ASSERT_REL(n->height, ==, 1 + std::max(left, right));
    KLAMM_ASSERT(n->references > 0 && n->item->references > 0);
    return n->height;
  }

  Node* root_ = nullptr;
  size_t size_ = 0;
};

}  // namespace klamm
