// Frames: every size, in order, unchanged, with their time stamps.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { ONE_PACKET, delivered, frameOf, read, untilFlowing } from '../harness/peer.mjs';
import { suite } from '../harness/suite.mjs';

const SMALL = [1, 2, 100, 1_000, ONE_PACKET - 1, ONE_PACKET, ONE_PACKET + 1, 2 * ONE_PACKET, 2 * ONE_PACKET + 1];
const LARGE = [65_536, 250_000, 1_048_576];
const TIMESTAMPS = [0n, 1n, 1_700_000_000_000n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

/** Bytes that look random and are the same in every run. */
function payloadOf(size) {
  const blocks = [];
  for (let length = 0; length < size; length += 32) {
    blocks.push(createHash('sha256').update(`${size} ${length}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, size);
}

async function flowing(room) {
  const publisher = await room.publisher();
  const subscriber = await room.subscriber();
  const sid = await publisher.publish('frames');
  const stream = await subscriber.subscribe(await subscriber.track('publisher', 'frames'));
  await untilFlowing(publisher, sid, stream);
  return { publisher, sid, stream };
}

const each = suite();

each(`frames of ${SMALL.join(', ')} bytes arrive whole`, async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  for (const size of SMALL) await delivered(publisher, sid, stream, payloadOf(size));
});

for (const size of LARGE) {
  each(`a frame of ${size} bytes arrives whole`, async (room) => {
    const { publisher, sid, stream } = await flowing(room);
    await delivered(publisher, sid, stream, payloadOf(size));
  });
}

each('frames arrive in order and unchanged', async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  for (let number = 1; number <= 200; number += 1) {
    await delivered(publisher, sid, stream, payloadOf((number % 7) * 5_000 + 1), { userTimestamp: BigInt(number) });
  }
});

each(`the user timestamps ${TIMESTAMPS.join(', ')} arrive as they were sent`, async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  for (const userTimestamp of TIMESTAMPS) {
    // LiveKit's JavaScript client does not send a timestamp of 0.
    const lost = userTimestamp === 0n && publisher.kind === 'chromium';
    const options = { userTimestamp, expectedTimestamp: lost ? null : userTimestamp };
    await delivered(publisher, sid, stream, 'x', options);
    await delivered(publisher, sid, stream, 'y'.repeat(3 * ONE_PACKET), options);
  }
});

each('a frame without a timestamp has none', async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  await delivered(publisher, sid, stream, 'plain');
});

each('an empty frame is delivered by us and never sent by LiveKit', async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  await publisher.push(sid, '');
  if (publisher.kind === 'tramline') {
    assert.deepEqual(await read(stream), frameOf(''));
  }
  await delivered(publisher, sid, stream, 'after it');
});
