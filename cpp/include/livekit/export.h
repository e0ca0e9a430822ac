#pragma once

/// @file
/// The older name of visibility.h.

#include <livekit/visibility.h>
