#include "engine/broker/node.h"
#include "engine/client/host.h"
#include "sim/cluster.h"

namespace klamm::sim {

std::unique_ptr<Machine> make_broker(const Boot& boot) { return broker::make_node(boot); }
std::unique_ptr<Machine> make_client(const Boot& boot) { return client::make_host(boot); }

}  // namespace klamm::sim
