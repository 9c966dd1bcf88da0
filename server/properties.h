// Where the properties of a node come from: a file in Java's format, the environment, the command line.
#pragma once
#include <istream>
#include <string>
#include <vector>

#include "engine/metadata/config.h"

namespace klamm::server {

using metadata::Properties;

void read_properties(std::istream& in, Properties& into);
// "" or what is wrong. Keys read replace those that are there.
std::string read_properties(const std::string& path, Properties& into);
void write_properties(const std::string& path, const Properties& properties);

// KAFKA_NODE_ID=1 is node.id=1: `_` stands for `.`, `__` for `_`, `___` for `-`. CLUSTER_ID names the cluster.
// Variables of Kafka's own scripts (KAFKA_OPTS and the like) are left alone.
void read_environment(const char* const* environment, Properties& into);

// Items "key=value"; "" or what is wrong. `{id}` in a value becomes the node's id.
std::string read_assignments(const std::vector<std::string>& items, const std::string& id, Properties& into);

// node.id, or broker.id as of old; "1" if there is neither.
std::string node_id(const Properties& p);

// Fills what is missing for one combined node on 127.0.0.1:9092 that serves alone.
void add_single_node_defaults(Properties& p);

}  // namespace klamm::server
