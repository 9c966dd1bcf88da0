// What several properties of a broker must be together.
#pragma once
#include <string>
#include <string_view>

#include "engine/metadata/config.h"

namespace klamm::metadata {

// The text that holds for a broker: its own, else Kafka's default; "": there is none.
std::string broker_config_text(const Properties& properties, std::string_view name);

// Complains of properties that do not go together; each has been read by itself.
void check_together(const Properties& properties, const BrokerConfig& config, ConfigReport& report);

// What Kafka wants besides only where a broker changes while it runs.
void check_change(const Properties& properties, ConfigReport& report);

}  // namespace klamm::metadata
