// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/transfer_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "msb/v1/files.pb.h"
#include "supervisor/api/file_convert.h"

namespace msb {
namespace {

using msb::v1::OpenTransferRequest;
using Operation = TransferRequestReader::Operation;

absl::Status NoRequest() {
  return MakeError(Reason::kInvalidArgument, "a connection brings one OpenTransferRequest");
}

absl::StatusOr<Operation> OperationOf(const OpenTransferRequest& request) {
  if (request.protocol_version() != msb::agent::v1::WIRE_PROTOCOL_VERSION) {
    return MakeError(
        Reason::kAgentVersion,
        absl::StrCat("the client speaks version ", request.protocol_version(),
                     ", the daemon version ", int{msb::agent::v1::WIRE_PROTOCOL_VERSION}));
  }
  const auto of = [](const auto& operation) {
    return Operation{operation.sandbox(), OpenOf(operation)};
  };
  switch (request.operation_case()) {
    case OpenTransferRequest::kReadFile:
      return of(request.read_file());
    case OpenTransferRequest::kWriteFile:
      return of(request.write_file());
    case OpenTransferRequest::kReadTree:
      return of(request.read_tree());
    case OpenTransferRequest::kWriteTree:
      return of(request.write_tree());
    case OpenTransferRequest::OPERATION_NOT_SET:
      break;
  }
  return MakeError(Reason::kInvalidArgument, "the request names no operation");
}

}  // namespace

absl::StatusOr<std::optional<Operation>> TransferRequestReader::Take(absl::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  if (is_whole_) return NoRequest();
  if (!std::exchange(has_preface_, true)) {
    if (bytes.front() != msb::v1::TRANSFER_PREFACE) return NoRequest();
    bytes.remove_prefix(1);
  }
  reader_.Append(bytes);
  MSB_ASSIGN_OR_RETURN(const std::optional<absl::string_view> frame, reader_.Next());
  if (!frame) return std::nullopt;
  is_whole_ = true;
  OpenTransferRequest request;
  if (!request.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) return NoRequest();
  if (reader_.buffered() > 0) return NoRequest();
  return OperationOf(request);
}

}  // namespace msb
