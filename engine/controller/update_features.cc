// Levels of the cluster's features (KIP-584, KIP-778): all of a request's changes, or none.
#include <map>

#include "engine/controller/operation.h"
#include "engine/metadata/features.h"

namespace klamm::controller {
namespace {

enum class Upgrade : int8_t { upgrade = 1, safe_downgrade = 2, unsafe_downgrade = 3 };
constexpr char kMetadataVersion[] = "metadata.version";

using Update = protocol::UpdateFeaturesRequest::FeatureUpdateKey;

const metadata::SupportedFeature* supported(Str name) {
  for (const metadata::SupportedFeature& f : metadata::supported_features())
    if (f.name == name) return &f;
  return nullptr;
}

bool every_broker_supports(const Operation& op, Str name, int16_t level) {
  for (const auto& [id, b] : op.image.brokers()) {
    bool can = level == 0;
    for (const metadata::FeatureRange& f : b.features)
      can = can || (f.name == name && f.min <= level && level <= f.max);
    if (!can) return false;
  }
  return true;
}

std::optional<Refusal> check(const Operation& op, const Update& u, Upgrade type) {
  const auto refuse = [&](const std::string& why) {
    return Refusal{ErrorCode::invalid_update_version, "Invalid update version " + std::to_string(u.max_version_level) +
                                                          " for feature " + std::string(u.feature) + ". " + why};
  };
  if (type < Upgrade::upgrade || type > Upgrade::unsafe_downgrade)
    return refuse("The controller does not support the given upgrade type.");
  if (u.max_version_level < 0) return refuse("A feature version cannot be less than 0.");
  const metadata::SupportedFeature* f = supported(u.feature);
  const std::string here = "Local controller " + std::to_string(op.options.node.value);
  if (!f && u.max_version_level == 0) return refuse("Feature " + std::string(u.feature) + " not found.");
  if (!f) return refuse(here + " does not support this feature.");
  if (u.max_version_level < f->min || u.max_version_level > f->max)
    return refuse(here + " only supports versions " + std::to_string(f->min) + "-" + std::to_string(f->max));
  if (!every_broker_supports(op, u.feature, u.max_version_level)) return refuse("A broker does not support it.");
  const int16_t now = op.image.feature(u.feature);
  if (u.max_version_level < now && type == Upgrade::upgrade)
    return refuse(
        "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
        "unsafe downgrade.");
  if (u.max_version_level > now && type != Upgrade::upgrade) return refuse("Can't upgrade with a downgrade type.");
  if (u.feature == kMetadataVersion && u.max_version_level < now)
    return refuse("This controller writes the records of one metadata version only.");
  if (u.feature == "kraft.version" && u.max_version_level != now) return refuse("The quorum's voters are static.");
  return std::nullopt;
}

// With eligible leader replicas (KIP-966) all brokers must mean the same by min.insync.replicas, and it must be set.
void agree_on_min_isr(Operation& op) {
  using metadata::ResourceType;
  const metadata::ConfigResource all{ResourceType::broker, ""};
  const std::string own = std::to_string(op.options.min_insync_replicas);
  if (!op.image.config(all, kMinIsr)) emit_config(op, all, kMinIsr, &own);
  for (const auto& [resource, configs] : op.image.configs())
    if (resource.type == ResourceType::broker && !resource.name.empty() && op.image.config(resource, kMinIsr))
      emit_config(op, resource, kMinIsr, nullptr);
}

void emit_level(Operation& op, const Update& u) {
  if (u.feature == metadata::kElrVersion && u.max_version_level > 0) agree_on_min_isr(op);
  if (u.max_version_level == op.image.feature(u.feature)) return;
  protocol::FeatureLevelRecord r;
  r.name = u.feature;
  r.feature_level = u.max_version_level;
  op.emit(0, r);
  if (u.feature == metadata::kElrVersion && u.max_version_level == 0) op.emit(0, protocol::ClearElrRecord{});
}

}  // namespace

void update_features(Operation& op, int16_t version, const protocol::UpdateFeaturesRequest& q,
                     protocol::UpdateFeaturesResponse& a) {
  a.error_message = kNullStr;
  std::map<Str, const Update*> updates;  // of two for one feature the later one counts, as in Kafka
  for (const Update& u : q.feature_updates) updates[u.feature] = &u;
  for (const auto& [feature, u] : updates) {
    const Upgrade type = version >= 1         ? static_cast<Upgrade>(u->upgrade_type)
                         : u->allow_downgrade ? Upgrade::safe_downgrade
                                              : Upgrade::upgrade;
    if (const auto refused = check(op, *u, type)) {
      a.error_code = static_cast<int16_t>(refused->code);
      a.error_message =
          op.text("The update failed for all features since the following feature had an error: " + refused->message);
      op.records.clear();
      return;
    }
    emit_level(op, *u);
  }
  if (version <= 1)
    for (const Update& u : q.feature_updates) {
      auto& out = a.results.add(op.ctx.arena());
      out.feature = u.feature;
      out.error_message = name(ErrorCode::none);
    }
  if (q.validate_only) op.records.clear();
}

}  // namespace klamm::controller
