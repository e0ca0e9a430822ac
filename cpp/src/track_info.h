#pragma once

#include <livekit/data_track_info.h>
#include <tramline.h>

#include "schema.h"
#include "text.h"

namespace livekit::internal {

/// Asks a track what it is with `ask`.
template <typename Track>
DataTrackInfo trackInfo(tramline_status (*ask)(const Track*, tramline_track_info*), const Track* track) {
  tramline_track_info told{};
  told.struct_size = sizeof told;
  DataTrackInfo info;
  if (ask(track, &told) != TRAMLINE_OK) return info;
  info.name = copy(told.name);
  info.sid = copy(told.sid);
  info.uses_e2ee = told.uses_e2ee != 0;
  info.schema = schemaId(told.schema);
  info.frame_encoding = frameEncoding(told.frame_encoding);
  return info;
}

}  // namespace livekit::internal
