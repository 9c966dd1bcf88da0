#include "engine/client/consumer.h"

namespace klamm::client {

Consumer::Consumer(const ConsumerOpen& options, uint64_t token, Duration retry_backoff)
    : options_(options), token_(token), retry_backoff_(retry_backoff) {
  commit_backoff_.first = retry_backoff;
  if (options.group.empty()) return;
  membership_.emplace(MembershipOptions{options.client, options.group, options.instance,
                                        milliseconds(options.session_timeout_ms), milliseconds(options.heartbeat_ms),
                                        milliseconds(options.rebalance_timeout_ms),
                                        milliseconds(options.request_timeout_ms), retry_backoff});
}

void Consumer::start(Turn& turn) {
  emit(turn, {.kind = ConsumerEvent::Kind::opened});
  if (membership_ && options_.auto_commit_ms > 0) next_commit_ = turn.now() + milliseconds(options_.auto_commit_ms);
}

void Consumer::assign(Turn& turn, uint64_t token, const Assign& ask) {
  if (membership_) membership_->subscribe(turn, {});
  positions_.clear();
  listing_.clear();
  for (const Assign::From& f : ask.partitions) set_position(turn, f.partition, f.offset);
  turn.answer(token, Done{});
}

void Consumer::subscribe(Turn& turn, uint64_t token, const Subscribe& ask) {
  if (!membership_) return turn.answer(token, Done{ErrorCode::invalid_group_id, "a subscription needs a group"});
  std::set<std::string> topics(ask.topics.begin(), ask.topics.end());
  if (topics.empty() && !positions_.empty()) revoke(turn);
  if (!membership_->assigned()) positions_.clear();  // of a former assignment by hand
  membership_->subscribe(turn, {topics.begin(), topics.end()});
  turn.answer(token, Done{});
}

void Consumer::set_position(Turn& turn, const TopicPartition& tp, int64_t from) {
  turn.cluster.want(tp.topic);
  Position& p = positions_[tp];
  p = {};
  p.backoff.first = retry_backoff_;
  if (from >= 0) {
    p.state = Position::State::ready;
    p.offset = from;
  } else if (from == kFromBeginning || from == kFromEnd) {
    p.state = Position::State::listed;
    p.list_at = from;
  } else if (!membership_) {
    reset(p);
  }
}

// There is no offset to go on from, or it is out of range.
void Consumer::reset(Position& p) const {
  p.state = options_.reset == Reset::none ? Position::State::stuck : Position::State::listed;
  p.list_at = options_.reset == Reset::latest ? kFromEnd : kFromBeginning;
}

void Consumer::emit(Turn& turn, ConsumerEvent event, bool last) { turn.answer(token_, event, last); }

void Consumer::commit(Turn& turn, uint64_t token) {
  if (!membership_) return turn.answer(token, Done{ErrorCode::invalid_group_id, "without a group"});
  if (commits_.size() >= kCommitsMax) return turn.answer(token, Done{ErrorCode::policy_violation, "too many commits"});
  commits_.push_back(token);
}

void Consumer::close(Turn& turn, uint64_t token) {
  if (closing_) return turn.answer(token, Done{ErrorCode::invalid_request, "closing already"});
  closing_ = token;
  paused_ = true;
  close_by_ = turn.now() + kCloseWait;
  if (options_.auto_commit_ms > 0 && membership_) next_commit_ = turn.now();
}

void Consumer::finish_close(Turn& turn) {
  answer_commits(turn, ErrorCode::request_timed_out);
  if (membership_) membership_->leave(turn);
  emit(turn, {.kind = ConsumerEvent::Kind::closed}, true);
  turn.answer(*closing_, Done{});
  closed_ = true;
}

void Consumer::take_membership_events(Turn& turn) {
  for (const MembershipEvent& e : membership_->take_events()) {
    switch (e.kind) {
      case MembershipEvent::Kind::assigned: assigned(turn, e.partitions); break;
      case MembershipEvent::Kind::lost: revoke(turn); break;
      case MembershipEvent::Kind::rebalance:
        revoking_ = true;
        if (options_.auto_commit_ms > 0) next_commit_ = turn.now();
        break;
      case MembershipEvent::Kind::fatal:
        failed_ = true;
        answer_commits(turn, e.error);
        emit(turn, {.kind = ConsumerEvent::Kind::error, .error = e.error});
        break;
    }
  }
}

void Consumer::assigned(Turn& turn, const std::vector<TopicPartition>& partitions) {
  positions_.clear();
  listing_.clear();
  revoking_ = false;
  for (const TopicPartition& tp : partitions) set_position(turn, tp, kFromCommitted);
  emit(turn,
       {.kind = ConsumerEvent::Kind::assigned, .partitions = partitions, .generation = membership_->generation()});
}

void Consumer::revoke(Turn& turn) {
  revoking_ = false;
  answer_commits(turn, ErrorCode::rebalance_in_progress);
  committing_.reset();
  offset_fetch_.reset();
  positions_.clear();
  emit(turn, {.kind = ConsumerEvent::Kind::revoked});
}

// The position that a request asked about, if it still wants the answer.
Consumer::Position* Consumer::waiting_position(const Asked& asked, Position::State state) {
  const auto it = positions_.find(asked.partition);
  if (it == positions_.end() || it->second.state != state || it->second.offset != asked.offset) return nullptr;
  return &it->second;
}

bool Consumer::due(Turn& turn, const Backoff& backoff) {
  if (turn.now() >= backoff.until) return true;
  wake_at(backoff.until);
  return false;
}

void Consumer::on_answer(Turn& turn, const net::Answer& answer) {
  if (membership_ && Membership::owns(answer.owner.step)) return membership_->on_answer(turn, answer);
  switch (answer.owner.step) {
    case kFetch: return fetched(turn, answer);
    case kListOffsets: return offsets_listed(turn, answer);
    case kOffsetFetch: return offsets_fetched(turn, answer);
    case kOffsetCommit: return offsets_committed(turn, answer);
  }
}

void Consumer::pump(Turn& turn) {
  deadline_ = kNever;
  if (membership_) {
    take_membership_events(turn);
    membership_->pump(turn);
    take_membership_events(turn);
    pump_commits(turn);
    if (revoking_ && !committing_) {  // what could be committed is
      revoke(turn);
      membership_->rejoin();
      membership_->pump(turn);
      take_membership_events(turn);
    }
    wake_at(membership_->next_deadline());
    if (!closing_) fetch_offsets(turn);
  }
  if (closing_) {
    if (!committing_ || turn.now() >= close_by_) return finish_close(turn);
    return wake_at(close_by_);
  }
  list_offsets(turn);
  if (!paused_ && !revoking_ && !failed_) fetch(turn);
}

}  // namespace klamm::client
