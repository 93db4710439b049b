// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The messages of a call whose request brings values of secrets. gRPC frees a request at the end of
// its call, some time after and without wiping it: these calls get theirs from here instead, and
// their values are gone as soon as they are taken, or with the call that nobody took them from.
//
//   SetMessageAllocatorFor_Start(&start_messages_);      // in the service's constructor
//   ... = TakeSecretValues(*context, request->secrets());  // first thing in the handler

#ifndef MSB_SUPERVISOR_API_SECRET_MESSAGES_H_
#define MSB_SUPERVISOR_API_SECRET_MESSAGES_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/message_allocator.h>

#include "absl/status/statusor.h"
#include "msb/v1/network.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {

inline SecretList& SecretsOf(msb::v1::CreateRequest& request) {
  return *request.mutable_spec()->mutable_secrets();
}
inline SecretList& SecretsOf(msb::v1::StartRequest& request) { return *request.mutable_secrets(); }
inline SecretList& SecretsOf(msb::v1::UpdateSecretsRequest& request) {
  return *request.mutable_set();
}

template <typename Request, typename Response>
class SecretMessages final : public grpc::MessageAllocator<Request, Response> {
 public:
  grpc::MessageHolder<Request, Response>* AllocateMessages() override { return new Messages(); }

 private:
  class Messages final : public grpc::MessageHolder<Request, Response> {
   public:
    Messages() {
      this->set_request(&request_);
      this->set_response(&response_);
    }
    ~Messages() override { WipeSecretValues(SecretsOf(request_)); }
    void Release() override { delete this; }  // the call has ended
    // Of a request whose values are taken: the rest of it stays.
    void FreeRequest() override { WipeSecretValues(SecretsOf(request_)); }

   private:
    Request request_;
    Response response_;
  };
};

// The values in `secrets`, which are those of the context's request; there they are wiped.
inline absl::StatusOr<SecretValues> TakeSecretValues(grpc::CallbackServerContext& context,
                                                     const SecretList& secrets) {
  absl::StatusOr<SecretValues> values = CopySecretValues(secrets);
  context.GetRpcAllocatorState()->FreeRequest();
  return values;
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_SECRET_MESSAGES_H_
