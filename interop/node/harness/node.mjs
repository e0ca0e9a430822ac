// LiveKit's Node client as a peer. It has no data tracks of its own: those are requests by hand to the library below it.
//
// The library is the addon that the client comes with, or ours: see `library.cjs`.
import { createHash } from 'node:crypto';

import { FfiHandle } from '@livekit/rtc-ffi-bindings';
import { DisconnectReason, Room, RoomEvent, dispose } from '@livekit/rtc-node';

import { PROBE } from '../../browser/harness/peer.mjs';

export const ON_OUR_LIBRARY = process.env.NAPI_RS_NATIVE_LIBRARY_PATH !== undefined;
export const NODE = ON_OUR_LIBRARY ? 'library' : 'node';

const NOTHING = { value: undefined };

/** One request by hand; its response. */
export function request(name, value) {
  return globalThis._ffiClientInstance.request({ message: { case: name, value } });
}

/** One request by hand whose answer is an event; that event. */
export async function call(name, value) {
  const { asyncId } = request(name, value);
  return globalThis._ffiClientInstance.waitFor(
    ({ message }) => message.case === name && message.value.asyncId === asyncId,
  );
}

/** Takes the library down, when all peers are gone. */
export const disposeLibrary = dispose;

export class NodePeer {
  static async open() {
    return new NodePeer();
  }

  constructor() {
    Object.assign(this, { kind: NODE, sendsEmptyFrames: ON_OUR_LIBRARY, room: new Room() });
    Object.assign(this, { local: new Map(), remote: new Map(), reason: null, waiting: new Set() });
    this.room.on(RoomEvent.Disconnected, (reason) => {
      this.reason = DisconnectReason[reason];
    });
    this.onEvent = (event) => this.follow(event.message);
  }

  async connect(url, token, encryption) {
    const options = { autoSubscribe: true, dynacast: false };
    if (encryption) {
      const sharedKey = Buffer.from(encryption.key);
      const keyDerivationFunction = { pbkdf2: 0, hkdf: 1 }[encryption.derivation];
      options.encryption = { keyProviderOptions: { sharedKey, keyDerivationFunction, ratchetWindowSize: 0 } };
    }
    // The client makes its connection to the library at the first use.
    const joining = this.room.connect(url, token, options);
    globalThis._ffiClientInstance.on('ffi_event', this.onEvent);
    await joining;
  }

  follow({ case: name, value }) {
    if (name === 'roomEvent' && value.roomHandle === this.room.ffiHandle?.handle) {
      if (value.message.case === 'dataTrackPublished') {
        const { track } = value.message.value;
        this.remote.set(track.info.sid, track);
      } else if (value.message.case === 'dataTrackUnpublished') {
        this.remote.delete(value.message.value.sid);
      }
    }
    // After the client's own listeners have run, which take turns.
    setImmediate(() => this.look());
  }

  look() {
    for (const waiting of this.waiting) {
      const found = waiting.find();
      if (found !== NOTHING) {
        this.waiting.delete(waiting);
        waiting.resolve(found);
      }
    }
  }

  /** What `find` gives as soon as that is something; it is asked again after each event. */
  until(find) {
    return new Promise((resolve) => {
      this.waiting.add({ find, resolve });
      this.look();
    });
  }

  async publish(name) {
    const localParticipantHandle = this.room.localParticipant.ffi_handle.handle;
    const { result } = await call('publishDataTrack', { localParticipantHandle, options: { name } });
    if (result.case === 'error') throw new Error(result.value.message);
    this.local.set(result.value.info.sid, result.value.handle.id);
    return result.value.info.sid;
  }

  async push(sid, payload, userTimestamp = null) {
    const frame = { payload: Buffer.from(payload), userTimestamp: userTimestamp ?? undefined };
    const { error } = request('localDataTrackTryPush', { trackHandle: this.local.get(sid), frame });
    if (error) throw new Error(error.message);
  }

  async unpublish(sid) {
    request('localDataTrackUnpublish', { trackHandle: this.local.get(sid) });
  }

  track(publisher, name) {
    const fits = (track) => track.publisherIdentity === publisher && track.info.name === name;
    return this.until(() => [...this.remote.values()].find(fits)?.info.sid ?? NOTHING);
  }

  async unpublished(sid) {
    await this.until(() => (this.remote.has(sid) ? NOTHING : null));
  }

  async subscribe(sid, bufferSize = null) {
    const options = { bufferSize: bufferSize ?? undefined };
    const { stream } = request('subscribeDataTrack', { trackHandle: this.remote.get(sid).handle.id, options });
    return new Stream(stream.handle.id);
  }

  participant(identity) {
    return this.until(() => {
      const found = this.room.remoteParticipants.get(identity);
      if (!found) return NOTHING;
      const { name, metadata, attributes } = found;
      return { name, metadata, attributes: { ...attributes } };
    });
  }

  async departed(identity) {
    await this.until(() => (this.room.remoteParticipants.has(identity) ? NOTHING : null));
  }

  disconnected() {
    return this.until(() => this.reason ?? NOTHING);
  }

  async close() {
    await this.room.disconnect();
    globalThis._ffiClientInstance?.off('ffi_event', this.onEvent);
  }
}

class Stream {
  constructor(handle) {
    Object.assign(this, { handle, mayLose: !ON_OUR_LIBRARY });
  }

  async next() {
    const told = globalThis._ffiClientInstance.waitFor(
      ({ message }) => message.case === 'dataTrackStreamEvent' && message.value.streamHandle === this.handle,
    );
    const { eosEvent } = request('dataTrackStreamRead', { streamHandle: this.handle });
    if (eosEvent) return null;
    const { detail } = await told;
    if (detail.case === 'eos') return null;
    const { payload, userTimestamp } = detail.value.frame;
    return {
      size: payload.length,
      sha256: createHash('sha256').update(payload).digest('hex'),
      userTimestamp: userTimestamp === undefined ? null : String(userTimestamp),
      isProbe: Buffer.from(payload.subarray(0, PROBE.length)).toString() === PROBE,
    };
  }

  async close() {
    new FfiHandle(this.handle).dispose();
  }
}
