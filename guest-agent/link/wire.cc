// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/link/wire.h"

#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

using agent::v1::AgentFrame;
using agent::v1::Output;

constexpr char LengthDelimitedTag(int field) { return static_cast<char>(field << 3 | 2); }
constexpr char VarintTag(int field) { return static_cast<char>(field << 3); }

void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// Behind `fields` comes the frame's content.
std::string FrameHeader(const std::string& fields, size_t content) {
  const auto length = EncodeFrameHeader(static_cast<uint32_t>(fields.size() + content));
  return std::string(length.data(), length.size()) + fields;
}

}  // namespace

std::string EncodeFrame(const AgentFrame& frame) {
  std::string bytes(kFrameHeaderBytes, '\0');
  frame.AppendToString(&bytes);
  const auto length = EncodeFrameHeader(static_cast<uint32_t>(bytes.size() - kFrameHeaderBytes));
  bytes.replace(0, length.size(), length.data(), length.size());
  return bytes;
}

agent::v1::Error ToError(const absl::Status& status) {
  agent::v1::Error error;
  const Reason reason = ReasonOf(status);
  error.set_reason(static_cast<int>(reason == Reason::kUnspecified ? Reason::kFileError : reason));
  error.set_message(EscapeForLog(status.message()));
  error.set_errno_value(ErrnoOf(status));
  return error;
}

AgentFrame ErrorFrame(const absl::Status& status) {
  AgentFrame frame;
  *frame.mutable_error() = ToError(status);
  return frame;
}

std::string OutputFrameHeader(OutputStream stream, uint64_t offset, size_t size) {
  std::string output;
  if (offset != 0) {
    output.push_back(VarintTag(Output::kOffsetFieldNumber));
    AppendVarint(offset, output);
  }
  output.push_back(LengthDelimitedTag(Output::kDataFieldNumber));
  AppendVarint(size, output);
  std::string fields;
  fields.push_back(LengthDelimitedTag(stream == OutputStream::kStdout
                                          ? AgentFrame::kStdoutFieldNumber
                                          : AgentFrame::kStderrFieldNumber));
  AppendVarint(output.size() + size, fields);
  return FrameHeader(fields + output, size);
}

std::string DataFrameHeader(size_t size) {
  return BulkFrameHeader(AgentFrame::kDataFieldNumber, size);
}

}  // namespace msb
