// One turn of a node: the only place where its parts meet. Each group of functions below has a file of its own.
#pragma once
#include "engine/broker/parts.h"

namespace klamm::broker {

struct Turn {
  Parts& p;
  Io io;
  Ctx& ctx() const { return io.ctx; }
  Arena& arena() const { return io.ctx.arena(); }
  uint64_t unpacked = 0;  // of this turn, for kUnpackedPerTurn
  uint64_t searched = 0;  // and by look-ups, for which others need not wait
  net::NetIo net() { return {io, p.conns}; }

  // ---- node.cc
  void run(std::span<const Event> events);
  void on_event(const Event& event);
  void peer_mute(ConnId conn);
  void peer_left(ConnId conn);
  void on_ended(Token token, const StorageEnd& end);
  void on_answer(const net::Answer& answer);
  void on_time();
  Instant deadline() const;  // of the next turn, if no event comes before
  void drain();              // letters, until there are none
  void fatal(int code, std::string reason);

  // ---- startup.cc: directories, meta.properties, checkpoints; and the way out
  void start();
  void startup_ended(const Owner& owner, const StorageEnd& end);
  void load_directories();
  uint32_t metadata_directory() const;
  bool take_bootstrap(const std::string& directory, const Slice& file);
  bool directories_go_together();
  void look_at_directories();
  void found_home(const PartitionName& partition, DirId dir);
  void take_lines();
  std::string copy_path(const PartitionName& partition, DirId dir) const;
  void compare_copies();
  void load_owner(const PartitionName& partition, DirId dir);
  std::vector<DirId> choose_copy(const PartitionName& partition, const Uuid& topic);
  void give_identities();
  bool replace_file(uint32_t dir, uint32_t which, const char* path, const std::string& content);
  void run_node();
  void maybe_ready();
  void stop();
  void leave();
  void poll_shutdown();
  void wait_for_logs();
  void write_checkpoints(replication::Checkpoints found, bool clean);

  // ---- cluster_id.cc: where it comes from when nobody has given one
  void find_cluster_id();
  void ask_cluster_id();
  void cluster_id_answered(const net::Answer& answer);

  // ---- calls.cc: requests to other nodes and to oneself, replies
  void call(uint64_t peer, Channel channel, NodeId to, int16_t api, int16_t version, std::vector<Slice> body,
            Owner owner, Duration timeout);
  bool call_controller(int16_t api, int16_t version, std::vector<Slice> body, Owner owner, Duration timeout);
  void reply(Reply reply);
  template<class Message>
  void answer(const Ticket& ticket, const Message& message, size_t hint = 256) {
    reply(encode_reply(ticket, message, hint));
  }
  void close(const Ticket& ticket) { reply(Reply{ticket, {}, true}); }
  NodeId active_controller() const;

  // ---- dispatch.cc
  void dispatch(Request& request);
  void serve(Request& request);

  // ---- quorum.cc: the metadata quorum, the controller on it, and the image they make
  void drain(quorum::Out& out);
  void drain(controller::Out& out);
  void publish();
  bool read_snapshot();  // snapshot.cc: false: not yet
  void write_snapshot();
  void carry_if_joined();
  void probe_brokers();
  void carry(const metadata::Delta& delta);
  void tell_unused();
  void update_brokers();
  void tell_cordoned();
  DirId directory_for_new(std::vector<size_t>& held) const;
  void assign_partition(const TopicIdPartition& id, std::vector<size_t>& held);
  void tell_without_effect(const std::string& key);
  void layer_broker_configs();
  void resolve_peers();
  void peer_resolved(std::string_view told);
  replication::CompactionConfig compaction_config() const;
  metadata::TopicConfig topic_config(const std::string& topic) const;
  replication::Settings settings_of(const std::string& topic) const;
  void activate_controller();
  void register_controller();

  // ---- standing.cc: the broker's life with the controller
  void poll_lifecycle();
  void lifecycle_answered(const net::Answer& answer);
  void broker_connection_closed(ConnId conn);
  void note_broker_connection(const Request& request);
  void suspect(const metadata::Broker& broker);
  void follower_closed(ConnId conn);
  void look_at_peers();
  void tell_search();
  void tell_refusal(int16_t error);
  Instant doubt_ends(NodeId leader) const;  // rules.h
  bool waits_in_doubt(Request& request, std::optional<Instant> until, Instant doubt_ends);
  void wait_to_lead(Request& request, const std::vector<TopicIdPartition>& opening);

  // ---- replication.cc
  void drain(replication::Out& out);
  void wake_produces(const WaitKey& key, int64_t reached);
  void wake_fetches();
  void forget_parked(ConnId conn);
  uint64_t owner_of(const Ticket& ticket) const;  // of what it waits for

  // ---- groups.cc
  void on_group_request(const Request& request);
  void drain(group::Out& out);
  void append_for_groups(const coordinator::Append& append);
  void groups_moved(const TopicIdPartition& id);
  void load_groups(const TopicIdPartition& id);
  void groups_committed(const TopicIdPartition& id);
  void groups_carry(const metadata::Delta& delta);
  void groups_topics_deleted(const metadata::Image& before, const metadata::Delta& delta);
  void groups_configured();
  void groups_on_time();

  // ---- forward.cc
  void forward(const Request& request, ForwardAs as = {});
  void forward_failed(const Request& request, ErrorCode error);
  void forward_send(uint64_t id);
  void forward_answered(const net::Answer& answer);
  void forward_on_time();
  void create_topic_for(const std::string& topic);
  void on_envelope(Request& request);
};

}  // namespace klamm::broker
