#pragma once

#include <livekit/data_stream.h>
#include <tramline.h>

/// What texts and bytes say of themselves, in the words of the API.
namespace livekit::internal {

TextStreamInfo textInfo(const tramline_content_reader* reader);
ByteStreamInfo byteInfo(const tramline_content_reader* reader);

}  // namespace livekit::internal
