// What a case needs of a peer, whichever client stands behind it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as after } from 'node:timers/promises';

/** Frames that begin like this only find out whether a subscription is up; `read` never shows them. */
export const PROBE = 'probe:';

/** How often a probe is repeated until it arrives. */
const PROBE_EVERY_MS = 50;
const ATTEMPTS = 30;
const ATTEMPT_MS = 1000;

/** What a reader sees of a frame with this payload. */
export function frameOf(payload, userTimestamp = null) {
  const bytes = Buffer.from(payload);
  return {
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    userTimestamp: userTimestamp === null ? null : String(userTimestamp),
    isProbe: false,
  };
}

/** The next frame that is no probe, `null` at the end of the stream. */
export async function read(stream) {
  for (;;) {
    const frame = await stream.next();
    if (frame === null || !frame.isProbe) return frame;
  }
}

/**
 * Pushes probes until each stream has got one: from then on every stream gets every frame.
 *
 * A subscription comes up in its own time and nothing tells the publisher, so the only honest sign is a frame that
 * arrives.
 */
export async function untilFlowing(publisher, sid, ...streams) {
  let waiting = streams.length;
  const first = Promise.all(
    streams.map(async (stream) => {
      assert.notEqual(await stream.next(), null, 'a stream ended before its first frame');
      waiting -= 1;
    }),
  );
  for (let number = 0; waiting > 0; number += 1) {
    await publisher.push(sid, `${PROBE}${number}`);
    await Promise.race([first, after(PROBE_EVERY_MS)]);
  }
  await first;
}

/** The largest payload that travels in one packet. */
export const ONE_PACKET = 16_000 - 12;

/**
 * Pushes a frame and waits until it is read; whatever is read must be the frame.
 *
 * A reader that may lose frames of several packets by itself gets such a frame again each second.
 */
export async function delivered(publisher, sid, stream, payload, options = {}) {
  const { userTimestamp = null, expectedTimestamp = userTimestamp } = options;
  const attempts = stream.mayLose && payload.length > ONE_PACKET ? ATTEMPTS : 1;
  const reading = read(stream);
  let arrived = false;
  reading.then(
    () => (arrived = true),
    () => (arrived = true),
  );
  for (let attempt = 1; attempt <= attempts && !arrived; attempt += 1) {
    await publisher.push(sid, payload, userTimestamp);
    // The last attempt ends with the frame, or with the limit of the case.
    if (attempt < attempts) await Promise.race([reading, after(ATTEMPT_MS)]);
  }
  assert.deepEqual(await reading, frameOf(payload, expectedTimestamp));
}
