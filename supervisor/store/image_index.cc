// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/store/image_index.h"

#include <map>

#include "base/status_macros.h"

namespace msb {
namespace {

constexpr absl::string_view kMigrations[] = {
    R"sql(
CREATE TABLE images (
  digest TEXT PRIMARY KEY NOT NULL,
  config_digest TEXT NOT NULL,
  stored_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE image_layers (
  image_digest TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  diff_id TEXT NOT NULL,
  blob_digest TEXT NOT NULL,
  blob_bytes INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (image_digest, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE image_names (
  scope INTEGER NOT NULL,
  name TEXT NOT NULL,
  image_digest TEXT NOT NULL REFERENCES images (digest),
  index_digest TEXT NOT NULL,
  owner_uid INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
)sql",
};

}  // namespace

absl::StatusOr<ImageIndex> ImageIndex::Open(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(Database database, Database::Open(path));
  MSB_RETURN_IF_ERROR(Migrate(database, kMigrations));
  return ImageIndex(std::move(database));
}

absl::Status ImageIndex::EndTransaction(absl::Status outcome) {
  if (outcome.ok()) outcome = database_.Execute("COMMIT");
  if (!outcome.ok()) database_.Execute("ROLLBACK").IgnoreError();  // the first error counts
  return outcome;
}

absl::Status ImageIndex::Put(const ImageRecord& image, const std::vector<ImageName>& names) {
  MSB_RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  absl::Status put = PutImage(image);
  for (const ImageName& name : names) {
    if (put.ok()) put = PutName(name);
  }
  return EndTransaction(std::move(put));
}

absl::Status ImageIndex::PutImage(const ImageRecord& image) {
  MSB_ASSIGN_OR_RETURN(
      Statement put,
      database_.Prepare(
          "INSERT INTO images (digest, config_digest, stored_at_ns) VALUES (?, ?, ?) "
          "ON CONFLICT (digest) DO UPDATE SET config_digest = excluded.config_digest"));
  put.Bind(1, image.digest).Bind(2, image.config_digest);
  MSB_RETURN_IF_ERROR(put.Bind(3, absl::ToUnixNanos(image.stored_at)).Run());
  MSB_ASSIGN_OR_RETURN(Statement clear,
                       database_.Prepare("DELETE FROM image_layers WHERE image_digest = ?"));
  MSB_RETURN_IF_ERROR(clear.Bind(1, image.digest).Run());
  MSB_ASSIGN_OR_RETURN(Statement add,
                       database_.Prepare("INSERT INTO image_layers VALUES (?, ?, ?, ?, ?, ?)"));
  int64_t position = 0;
  for (const ImageLayerRecord& layer : image.layers) {
    add.Bind(1, image.digest)
        .Bind(2, position++)
        .Bind(3, layer.diff_id)
        .Bind(4, layer.blob_digest)
        .Bind(5, static_cast<int64_t>(layer.blob_bytes))
        .Bind(6, static_cast<int64_t>(layer.bytes));
    MSB_RETURN_IF_ERROR(add.Run());
  }
  return absl::OkStatus();
}

absl::Status ImageIndex::PutName(const ImageName& name) {
  MSB_ASSIGN_OR_RETURN(
      Statement put,
      database_.Prepare(
          "INSERT INTO image_names (scope, name, image_digest, index_digest, owner_uid, at_ns) "
          "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (scope, name) DO UPDATE SET "
          "image_digest = excluded.image_digest, index_digest = excluded.index_digest, "
          "owner_uid = excluded.owner_uid, at_ns = excluded.at_ns"));
  put.Bind(1, name.scope)
      .Bind(2, name.name)
      .Bind(3, name.digest)
      .Bind(4, name.index_digest)
      .Bind(5, int64_t{name.owner_uid})
      .Bind(6, absl::ToUnixNanos(name.at));
  return put.Run();
}

absl::Status ImageIndex::Delete(const std::vector<ImageName>& names,
                                const std::vector<std::string>& digests) {
  MSB_RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  return EndTransaction(DeleteRows(names, digests));
}

absl::Status ImageIndex::DeleteRows(const std::vector<ImageName>& names,
                                    const std::vector<std::string>& digests) {
  MSB_ASSIGN_OR_RETURN(Statement drop_name,
                       database_.Prepare("DELETE FROM image_names WHERE scope = ? AND name = ?"));
  for (const ImageName& name : names) {
    MSB_RETURN_IF_ERROR(drop_name.Bind(1, name.scope).Bind(2, name.name).Run());
  }
  MSB_ASSIGN_OR_RETURN(Statement drop_image,
                       database_.Prepare("DELETE FROM images WHERE digest = ?"));
  for (const std::string& digest : digests) {
    MSB_RETURN_IF_ERROR(drop_image.Bind(1, digest).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ImageRecord>> ImageIndex::LoadImages() {
  std::map<std::string, ImageRecord> images;
  MSB_ASSIGN_OR_RETURN(Statement query,
                       database_.Prepare("SELECT digest, config_digest, stored_at_ns FROM images"));
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) break;
    images[query.Text(0)] = {.digest = query.Text(0),
                             .config_digest = query.Text(1),
                             .stored_at = absl::FromUnixNanos(query.Integer(2)),
                             .layers = {}};
  }
  MSB_ASSIGN_OR_RETURN(
      Statement layers,
      database_.Prepare("SELECT image_digest, diff_id, blob_digest, blob_bytes, bytes "
                        "FROM image_layers ORDER BY image_digest, position"));
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, layers.Step());
    if (!row) break;
    images[layers.Text(0)].layers.push_back({.diff_id = layers.Text(1),
                                             .blob_digest = layers.Text(2),
                                             .blob_bytes = static_cast<uint64_t>(layers.Integer(3)),
                                             .bytes = static_cast<uint64_t>(layers.Integer(4))});
  }
  std::vector<ImageRecord> list;
  for (auto& [digest, image] : images) list.push_back(std::move(image));
  return list;
}

absl::StatusOr<std::vector<ImageName>> ImageIndex::LoadNames() {
  MSB_ASSIGN_OR_RETURN(
      Statement query,
      database_.Prepare("SELECT scope, name, image_digest, index_digest, owner_uid, at_ns "
                        "FROM image_names"));
  std::vector<ImageName> names;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return names;
    names.push_back({.scope = query.Integer(0),
                     .name = query.Text(1),
                     .digest = query.Text(2),
                     .index_digest = query.Text(3),
                     .owner_uid = static_cast<uint32_t>(query.Integer(4)),
                     .at = absl::FromUnixNanos(query.Integer(5))});
  }
}

}  // namespace msb
