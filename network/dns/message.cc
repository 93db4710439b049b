// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/dns/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace msb::net {
namespace {

constexpr uint16_t kClassIn = 1;
constexpr uint16_t kFlagResponse = 0x8000;
constexpr uint16_t kFlagTruncated = 0x0200;
constexpr uint16_t kFlagRecursionDesired = 0x0100;
constexpr uint16_t kFlagRecursionAvailable = 0x0080;
constexpr uint16_t kOpcodeMask = 0x7800;
constexpr int kMaxPointers = 32;
constexpr size_t kMaxNameBytes = 255;
// More than any answer has that somebody can use.
constexpr int kMaxRecords = 512;

// Moves `offset` behind the name there. Its text goes to `name` when that is wanted; a byte that no
// host name has becomes "?", so that no rule and no log line takes it for another.
bool ReadName(Bytes message, size_t& offset, std::string* name) {
  size_t at = offset;
  bool jumped = false;
  size_t length = 0;
  for (int pointers = 0;;) {
    if (at >= message.size()) return false;
    const uint8_t label = message[at];
    if ((label & 0xc0) == 0xc0) {  // RFC 1035, 4.1.4
      if (at + 1 >= message.size() || ++pointers > kMaxPointers) return false;
      if (!jumped) offset = at + 2;
      jumped = true;
      at = Load16(&message[at]) & 0x3fff;
      continue;
    }
    if ((label & 0xc0) != 0) return false;
    ++at;
    if (label == 0) break;
    length += label + 1u;
    if (length > kMaxNameBytes || at + label > message.size()) return false;
    if (name != nullptr) {
      if (!name->empty()) name->push_back('.');
      for (const uint8_t byte : message.subspan(at, label)) {
        const char c = static_cast<char>(byte);
        const bool plain = absl::ascii_isalnum(byte) || c == '-' || c == '_';
        name->push_back(plain ? absl::ascii_tolower(byte) : '?');
      }
    }
    at += label;
  }
  if (!jumped) offset = at;
  return true;
}

std::optional<DnsQuery> ReadQuestion(Bytes message) {
  if (message.size() < kDnsHeaderBytes || Load16(&message[4]) != 1) return std::nullopt;
  DnsQuery query;
  query.id = Load16(&message[0]);
  size_t offset = kDnsHeaderBytes;
  if (!ReadName(message, offset, &query.name) || offset + 4 > message.size()) return std::nullopt;
  query.type = Load16(&message[offset]);
  if (Load16(&message[offset + 2]) != kClassIn) return std::nullopt;
  query.question_end = offset + 4;
  return query;
}

}  // namespace

std::string DnsTypeName(uint16_t type) {
  switch (type) {
    case kDnsA:
      return "A";
    case 2:
      return "NS";
    case 5:
      return "CNAME";
    case 6:
      return "SOA";
    case 12:
      return "PTR";
    case 15:
      return "MX";
    case 16:
      return "TXT";
    case kDnsAaaa:
      return "AAAA";
    case 33:
      return "SRV";
    case kDnsSvcb:
      return "SVCB";
    case kDnsHttps:
      return "HTTPS";
    case kDnsAny:
      return "ANY";
    default:
      return absl::StrCat("TYPE", type);
  }
}

std::optional<DnsQuery> ParseDnsQuery(Bytes message) {
  if (message.size() < kDnsHeaderBytes || message.size() > kMaxDnsMessageBytes) return std::nullopt;
  if ((Load16(&message[2]) & (kFlagResponse | kOpcodeMask)) != 0) return std::nullopt;
  return ReadQuestion(message);
}

std::optional<DnsAnswer> ParseDnsAnswer(Bytes message) {
  std::optional<DnsQuery> question = ReadQuestion(message);
  const uint16_t flags = question.has_value() ? Load16(&message[2]) : uint16_t{0};
  if ((flags & kFlagResponse) == 0) return std::nullopt;
  DnsAnswer answer;
  answer.question = *std::move(question);
  answer.code = static_cast<DnsCode>(flags & 0xf);
  answer.truncated = (flags & kFlagTruncated) != 0;
  answer.ttl = UINT32_MAX;
  size_t offset = answer.question.question_end;
  const int records = Load16(&message[6]);
  if (records > kMaxRecords) return std::nullopt;
  for (int i = 0; i < records; ++i) {
    if (!ReadName(message, offset, nullptr) || offset + 10 > message.size()) {
      if (answer.truncated) break;
      return std::nullopt;
    }
    const uint16_t type = Load16(&message[offset]);
    const uint32_t ttl = Load32(&message[offset + 4]);
    const size_t length = Load16(&message[offset + 8]);
    offset += 10;
    if (length > message.size() - offset) {
      if (answer.truncated) break;
      return std::nullopt;
    }
    if ((type == kDnsA && length == 4) || (type == kDnsAaaa && length == 16)) {
      answer.addresses.push_back(IpAddress::FromBytes(message.subspan(offset, length)));
      answer.ttl = std::min(answer.ttl, ttl);
    }
    offset += length;
  }
  return answer;
}

std::string MakeDnsAnswer(Bytes query, const DnsQuery& parsed, DnsCode code) {
  std::string answer(query.begin(), query.begin() + static_cast<ptrdiff_t>(parsed.question_end));
  auto* const bytes = reinterpret_cast<uint8_t*>(answer.data());
  const uint32_t desired = Load16(bytes + 2) & kFlagRecursionDesired;
  Store16(kFlagResponse | desired | kFlagRecursionAvailable | static_cast<uint32_t>(code),
          bytes + 2);
  Store16(1, bytes + 4);
  std::fill_n(bytes + 6, 6, uint8_t{0});
  return answer;
}

std::string MakeDnsAnswerWith(Bytes query, const DnsQuery& parsed,
                              const std::vector<IpAddress>& addresses, uint32_t ttl) {
  constexpr size_t kFixedBytes = 12;  // of a record, whose name points to the question's
  constexpr uint32_t kNameOfQuestion = 0xc000 | kDnsHeaderBytes;
  constexpr uint32_t kInternet = 1;
  std::string answer = MakeDnsAnswer(query, parsed, DnsCode::kOk);
  uint32_t count = 0;
  for (const IpAddress& address : addresses) {
    if (parsed.type != (address.is_v4() ? kDnsA : kDnsAaaa)) continue;
    uint8_t record[kFixedBytes];
    Store16(kNameOfQuestion, record);
    Store16(parsed.type, record + 2);
    Store16(kInternet, record + 4);
    Store16(ttl >> 16, record + 6);
    Store16(ttl & 0xffff, record + 8);
    Store16(static_cast<uint32_t>(address.wire().size()), record + 10);
    answer.append(record, record + sizeof(record));
    answer.append(address.wire().begin(), address.wire().end());
    ++count;
  }
  Store16(count, reinterpret_cast<uint8_t*>(answer.data()) + 6);
  return answer;
}

std::string TruncateDnsAnswer(Bytes answer) {
  const std::optional<DnsAnswer> parsed = ParseDnsAnswer(answer);
  if (!parsed.has_value()) return "";
  std::string cut = MakeDnsAnswer(answer, parsed->question, parsed->code);
  auto* const bytes = reinterpret_cast<uint8_t*>(cut.data());
  Store16(Load16(bytes + 2) | kFlagTruncated, bytes + 2);
  return cut;
}

std::string WithDnsId(Bytes message, uint16_t id) {
  std::string copy(message.begin(), message.end());
  Store16(id, reinterpret_cast<uint8_t*>(copy.data()));
  return copy;
}

}  // namespace msb::net
