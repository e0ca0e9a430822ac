// One participant: LiveKit's client behind the operations that the cases use. The harness calls `window.peer.*`.
import { DisconnectReason, Room, RoomEvent, setLogLevel } from '/livekit-client.mjs';

const PROBE = new TextEncoder().encode('probe:');

setLogLevel('silent');

const room = new Room({ singlePeerConnection: !location.search.includes('two-connections') });
const local = new Map();
const remote = new Map();
const streams = [];
const waiters = new Set();
let reason;

room.on(RoomEvent.DataTrackPublished, (track) => {
  remote.set(track.info.sid, track);
  changed();
});
room.on(RoomEvent.DataTrackUnpublished, (sid) => {
  remote.delete(sid);
  changed();
});
room.on(RoomEvent.Disconnected, (why) => {
  reason = DisconnectReason[why] ?? String(why);
  changed();
});
for (const event of [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
]) {
  room.on(event, changed);
}

function changed() {
  for (const waiter of waiters) waiter();
}

/** Resolves with the first truthy value of `find`, which is asked again after each event. */
function until(find) {
  return new Promise((resolve) => {
    const waiter = () => {
      const found = find();
      if (!found) return;
      waiters.delete(waiter);
      resolve(found);
    };
    waiters.add(waiter);
    waiter();
  });
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

async function describe({ payload, userTimestamp }) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', payload));
  return {
    size: payload.length,
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
    userTimestamp: userTimestamp === undefined ? null : String(userTimestamp),
    isProbe: PROBE.every((byte, at) => payload[at] === byte),
  };
}

function find(publisher, name) {
  for (const track of remote.values()) {
    if (track.publisherIdentity === publisher && track.info.name === name) return track;
  }
  return undefined;
}

window.peer = {
  async connect(url, token) {
    await room.connect(url, token);
  },
  async publish(name) {
    const track = await room.localParticipant.publishDataTrack({ name });
    if (track.info.name !== name) throw new Error(`published as ${track.info.name}`);
    local.set(track.info.sid, track);
    return track.info.sid;
  },
  async push(sid, base64, userTimestamp) {
    const frame = { payload: bytesOf(base64) };
    if (userTimestamp !== null) frame.userTimestamp = BigInt(userTimestamp);
    await local.get(sid).tryPush(frame);
  },
  unpublish: (sid) => local.get(sid).unpublish(),
  track: async (publisher, name) => (await until(() => find(publisher, name))).info.sid,
  unpublished: async (sid) => {
    await until(() => !remote.has(sid));
  },
  async subscribe(sid, bufferSize) {
    const options = bufferSize === null ? {} : { bufferSize };
    const reader = remote.get(sid).subscribe(options).getReader();
    return streams.push(reader) - 1;
  },
  async next(stream) {
    const { done, value } = await streams[stream].read();
    return done ? null : describe(value);
  },
  closeStream: (stream) => streams[stream].cancel(),
  async participant(identity) {
    const found = await until(() => room.remoteParticipants.get(identity));
    return { name: found.name, metadata: found.metadata, attributes: { ...found.attributes } };
  },
  departed: async (identity) => {
    await until(() => !room.remoteParticipants.has(identity));
  },
  disconnected: () => until(() => reason),
  close: () => room.disconnect(),
};
