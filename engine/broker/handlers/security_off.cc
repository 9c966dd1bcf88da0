// What a node without security answers: SaslHandshake 0-1, SaslAuthenticate 0-2 (KIP-152) on a plaintext listener;
// DescribeAcls, CreateAcls, DeleteAcls 1-3 (KIP-140) without an authorizer; Create-, Describe-, Renew- and
// ExpireDelegationToken (KIP-48) of clients that are not authenticated. Complete as long as there is nothing else.
#include "engine/broker/handlers.h"
#include "engine/protocol/messages/create_acls.h"
#include "engine/protocol/messages/create_delegation_token.h"
#include "engine/protocol/messages/delete_acls.h"
#include "engine/protocol/messages/describe_acls.h"
#include "engine/protocol/messages/describe_delegation_token.h"
#include "engine/protocol/messages/expire_delegation_token.h"
#include "engine/protocol/messages/renew_delegation_token.h"
#include "engine/protocol/messages/sasl_authenticate.h"
#include "engine/protocol/messages/sasl_handshake.h"

namespace klamm::broker {
namespace {

constexpr Str kNoAuthorizer = "No Authorizer is configured.";
constexpr int16_t kDisabled = static_cast<int16_t>(ErrorCode::security_disabled);
constexpr int16_t kNoToken = static_cast<int16_t>(ErrorCode::delegation_token_request_not_allowed);
constexpr int16_t kNotServed = static_cast<int16_t>(ErrorCode::unknown_server_error);  // as Kafka's controller says
constexpr int16_t kWrongState = static_cast<int16_t>(ErrorCode::illegal_sasl_state);

template<class Request, class Response, class Fill>
void refuse(Turn& t, const broker::Request& r, Fill fill) {
  Request q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  Response m;
  fill(q, m);
  t.answer(r.ticket, m);
}

}  // namespace

void handle_security_off(Turn& t, Request& r) {
  using namespace protocol;
  Arena& arena = t.arena();
  switch (r.ticket.api) {
    case SaslHandshakeRequest::kApiKey:
      return refuse<SaslHandshakeRequest, SaslHandshakeResponse>(
          t, r, [](const auto&, auto& m) { m.error_code = kWrongState; });
    case SaslAuthenticateRequest::kApiKey:
      return refuse<SaslAuthenticateRequest, SaslAuthenticateResponse>(t, r, [](const auto&, auto& m) {
        m.error_code = kWrongState;
        m.error_message = "SaslAuthenticate request received on a listener without SASL";
      });
    case DescribeAclsRequest::kApiKey:
      return refuse<DescribeAclsRequest, DescribeAclsResponse>(t, r, [](const auto&, auto& m) {
        m.error_code = kDisabled;
        m.error_message = "No Authorizer is configured on the broker";
      });
    case CreateAclsRequest::kApiKey:
      return refuse<CreateAclsRequest, CreateAclsResponse>(t, r, [&](const auto& q, auto& m) {
        for (size_t i = 0; i < q.creations.size(); ++i) {
          auto& x = m.results.add(arena);
          x.error_code = kDisabled, x.error_message = kNoAuthorizer;
        }
      });
    case DeleteAclsRequest::kApiKey:
      return refuse<DeleteAclsRequest, DeleteAclsResponse>(t, r, [&](const auto& q, auto& m) {
        for (size_t i = 0; i < q.filters.size(); ++i) {
          auto& x = m.filter_results.add(arena);
          x.error_code = kDisabled, x.error_message = kNoAuthorizer;
        }
      });
    case CreateDelegationTokenRequest::kApiKey:
      return refuse<CreateDelegationTokenRequest, CreateDelegationTokenResponse>(t, r, [&](const auto& q, auto& m) {
        m.error_code = kNoToken;
        const bool owned = r.ticket.version >= 3 && !is_null(q.owner_principal_name) && !q.owner_principal_name.empty();
        m.principal_type = owned ? q.owner_principal_type : Str("User");
        m.principal_name = owned ? q.owner_principal_name : Str("ANONYMOUS");
        if (r.ticket.version >= 3) {
          m.token_requester_principal_type = "User";
          m.token_requester_principal_name = "ANONYMOUS";
        }
        m.issue_timestamp_ms = m.expiry_timestamp_ms = m.max_timestamp_ms = -1;
      });
    case RenewDelegationTokenRequest::kApiKey:
      return refuse<RenewDelegationTokenRequest, RenewDelegationTokenResponse>(
          t, r, [](const auto&, auto& m) { m.error_code = kNoToken, m.expiry_timestamp_ms = -1; });
    case ExpireDelegationTokenRequest::kApiKey:
      return refuse<ExpireDelegationTokenRequest, ExpireDelegationTokenResponse>(
          t, r, [](const auto&, auto& m) { m.error_code = kNoToken, m.expiry_timestamp_ms = -1; });
    case DescribeDelegationTokenRequest::kApiKey:
      return refuse<DescribeDelegationTokenRequest, DescribeDelegationTokenResponse>(t, r, [&](const auto&, auto& m) {
        m.error_code = r.kind == ListenerKind::controller ? kNotServed : kNoToken;
      });
    default: KLAMM_ASSERT(false);
  }
}

}  // namespace klamm::broker
