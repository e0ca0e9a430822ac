#pragma once

/// @file
/// Which symbols the library shows. It is built with hidden visibility.

#if defined(_WIN32)
#if defined(LIVEKIT_BUILDING)
#define LIVEKIT_API __declspec(dllexport)
#else
#define LIVEKIT_API __declspec(dllimport)
#endif
#else
#define LIVEKIT_API __attribute__((visibility("default")))
#endif

/// Visible to the library's own tests, and no part of the API.
#define LIVEKIT_INTERNAL_API LIVEKIT_API
