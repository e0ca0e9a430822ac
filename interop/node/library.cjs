// Our `liblivekit_ffi.so` in the place of the native addon that LiveKit's Node client comes with.
//
// The client's loader takes what `NAPI_RS_NATIVE_LIBRARY_PATH` names: this file. `LIVEKIT_LIB_PATH` is the library, as for Python. What the
// addon exports is here over the library's four C functions; koffi calls them, and brings events from the library's threads to Node's.
'use strict';

const koffi = require('koffi');

const library = koffi.load(process.env.LIVEKIT_LIB_PATH);
koffi.proto('void EventCallback(const uint8_t *data, size_t len)');
const initialize = library.func(
  'void livekit_ffi_initialize(EventCallback *callback, bool capture_logs, const char *sdk, const char *version)',
);
const request = library.func(
  'uint64_t livekit_ffi_request(const uint8_t *data, size_t len, _Out_ void **response, _Out_ size_t *response_len)',
);
const dropHandle = library.func('bool livekit_ffi_drop_handle(uint64_t handle)');
const dispose = library.func('void livekit_ffi_dispose()');

/** A copy of what lies at an address: it goes when the call that told of it returns. */
const copied = (address, length) => new Uint8Array(koffi.decode(address, 'uint8_t', Number(length)));

let callback;

/** As the addon does it: once, for the life of the process. */
function livekitInitialize(onEvent, captureLogs, version) {
  callback = koffi.register((data, length) => onEvent(copied(data, length)), 'EventCallback *');
  initialize(callback, captureLogs, 'node', version);
}

function livekitFfiRequest(data) {
  const [response, length] = [[null], [0]];
  const handle = request(data, data.length, response, length);
  if (!handle) throw new Error('the request has failed as a whole');
  const bytes = copied(response[0], length[0]);
  if (!dropHandle(handle)) throw new Error('the response was gone before it was dropped');
  return bytes;
}

/** On another thread: it waits for callbacks that this one has to run. */
function livekitDispose() {
  return new Promise((resolve, reject) => {
    dispose.async((error) => (error ? reject(error) : resolve()));
  });
}

class FfiHandle {
  constructor(handle) {
    this.handle = handle;
  }

  dispose() {
    dropHandle(this.handle);
  }
}

module.exports = {
  FfiHandle,
  livekitInitialize,
  livekitFfiRequest,
  livekitDispose,
  livekitCopyBuffer: copied,
  livekitRetrievePtr: (data) => koffi.address(data),
};
