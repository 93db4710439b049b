// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/manifest/manifest_writer.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace msb::image {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void WriteString(Writer& writer, absl::string_view text) {
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

void WriteMember(Writer& writer, absl::string_view name, absl::string_view value) {
  WriteString(writer, name);
  WriteString(writer, value);
}

// Without the closing brace.
void BeginDescriptor(Writer& writer, const Descriptor& descriptor) {
  writer.StartObject();
  WriteMember(writer, "mediaType", descriptor.media_type);
  WriteMember(writer, "digest", descriptor.digest.text());
  WriteString(writer, "size");
  writer.Uint64(descriptor.size);
}

void BeginDocument(Writer& writer, absl::string_view media_type) {
  writer.StartObject();
  WriteString(writer, "schemaVersion");
  writer.Int(2);
  WriteMember(writer, "mediaType", media_type);
}

void WriteEntry(Writer& writer, const NamedImage& image, absl::string_view name) {
  BeginDescriptor(writer, image.descriptor);
  if (!name.empty()) {
    WriteString(writer, "annotations");
    writer.StartObject();
    WriteMember(writer, "io.containerd.image.name", name);
    // A tag alone is what the specification's grammar has for this annotation.
    const size_t colon = name.rfind(':');
    if (colon != absl::string_view::npos && name.find('/', colon) == absl::string_view::npos &&
        name.find('@') == absl::string_view::npos) {
      WriteMember(writer, "org.opencontainers.image.ref.name", name.substr(colon + 1));
    }
    writer.EndObject();
  }
  writer.EndObject();
}

}  // namespace

std::string WriteManifest(const Manifest& manifest) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  BeginDocument(writer, media_type::kOciManifest);
  WriteString(writer, "config");
  BeginDescriptor(writer, manifest.config);
  writer.EndObject();
  WriteString(writer, "layers");
  writer.StartArray();
  for (const Descriptor& layer : manifest.layers) {
    BeginDescriptor(writer, layer);
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string WriteLayoutIndex(absl::Span<const NamedImage> images) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  BeginDocument(writer, media_type::kOciIndex);
  WriteString(writer, "manifests");
  writer.StartArray();
  for (const NamedImage& image : images) {
    for (const std::string& name : image.names) WriteEntry(writer, image, name);
    if (image.names.empty()) WriteEntry(writer, image, "");
  }
  writer.EndArray();
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string WriteDockerManifest(absl::Span<const NamedImage> images) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartArray();
  for (const NamedImage& image : images) {
    writer.StartObject();
    WriteMember(writer, "Config", LayoutPath(image.manifest.config.digest));
    WriteString(writer, "RepoTags");
    writer.StartArray();
    for (const std::string& name : image.names) {
      // Names by digest are none that docker load could give.
      if (name.find('@') == std::string::npos) WriteString(writer, name);
    }
    writer.EndArray();
    WriteString(writer, "Layers");
    writer.StartArray();
    for (const Descriptor& layer : image.manifest.layers) {
      WriteString(writer, LayoutPath(layer.digest));
    }
    writer.EndArray();
    writer.EndObject();
  }
  writer.EndArray();
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string LayoutPath(const Digest& digest) { return absl::StrCat("blobs/sha256/", digest.hex()); }

}  // namespace msb::image
