// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/names.h"

#include <cstdint>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace msb {
namespace {

constexpr absl::string_view kAdjectives[] = {
    "amber",  "ample",  "autumn", "azure",   "bold",    "brave",  "breezy",  "bright", "brisk",
    "calm",   "candid", "cheery", "clever",  "cosmic",  "crisp",  "curious", "dapper", "daring",
    "deft",   "eager",  "early",  "earnest", "fair",    "fleet",  "fluent",  "fond",   "frosty",
    "gentle", "glad",   "golden", "grand",   "hardy",   "hazel",  "honest",  "humble", "jolly",
    "keen",   "kind",   "lively", "loyal",   "lucid",   "lunar",  "mellow",  "merry",  "mild",
    "mossy",  "nimble", "noble",  "olive",   "patient", "placid", "plucky",  "polite", "proud",
    "quick",  "quiet",  "rapid",  "ready",   "rustic",  "sandy",  "serene",  "sharp",  "silver",
    "snowy",  "solar",  "spry",   "stellar", "sturdy",  "sunny",  "swift",   "tidy",   "tranquil",
    "upbeat", "velvet", "vivid",  "warm",    "wise",    "witty",  "woven",   "zesty"};

constexpr absl::string_view kNouns[] = {
    "acorn",   "alder",  "aspen",  "badger",  "beacon",  "birch",  "bison",   "brook",  "canyon",
    "cedar",   "cliff",  "clover", "comet",   "coral",   "cove",   "crane",   "creek",  "cypress",
    "delta",   "dune",   "eagle",  "elm",     "ember",   "falcon", "fern",    "finch",  "fjord",
    "forest",  "fox",    "garden", "glacier", "grove",   "harbor", "hare",    "hazel",  "heron",
    "hill",    "island", "ivy",    "juniper", "kestrel", "lagoon", "lake",    "lark",   "lemur",
    "lichen",  "lotus",  "maple",  "marten",  "meadow",  "mesa",   "moss",    "oak",    "orchid",
    "osprey",  "otter",  "owl",    "pebble",  "pine",    "plover", "prairie", "quail",  "raven",
    "reef",    "ridge",  "river",  "robin",   "sparrow", "spruce", "stone",   "summit", "swallow",
    "thicket", "tundra", "valley", "walnut",  "willow",  "wren",   "yarrow",  "zephyr"};

constexpr int kPlainAttempts = 8;

template <size_t N>
absl::string_view OneOf(std::mt19937& random, const absl::string_view (&words)[N]) {
  return words[random() % N];
}

}  // namespace

std::string MakeUpName(std::mt19937& random, const std::function<bool(absl::string_view)>& taken) {
  for (uint32_t attempt = 0;; ++attempt) {
    std::string name = absl::StrCat(OneOf(random, kAdjectives), "-", OneOf(random, kNouns));
    // The numbers grow with the attempts: there is always a free one.
    if (attempt >= kPlainAttempts) {
      absl::StrAppend(&name, "-", 2 + random() % (100 + attempt * attempt));
    }
    if (!taken(name)) return name;
  }
}

}  // namespace msb
