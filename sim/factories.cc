#include "sim/cluster.h"

#if __has_include("engine/broker/node.h") && __has_include("engine/client/host.h")
#include "engine/broker/node.h"
#include "engine/client/host.h"

namespace klamm::sim {
std::unique_ptr<Machine> make_broker(const Boot& boot) { return broker::make_node(boot); }
std::unique_ptr<Machine> make_client(const Boot& boot) { return client::make_host(boot); }
}  // namespace klamm::sim
#else
#include "engine/base/assert.h"

namespace klamm::sim {
std::unique_ptr<Machine> make_broker(const Boot&) { throw AssertionFailure("there is no broker yet"); }
std::unique_ptr<Machine> make_client(const Boot&) { throw AssertionFailure("there is no client yet"); }
}  // namespace klamm::sim
#endif
