// Data tracks, which LiveKit's Node client has only below its own surface: frames of all sizes, the life of a track, encryption.
import assert from 'node:assert/strict';

import { ONE_PACKET, delivered, frameOf, read, untilFlowing } from '../../browser/harness/peer.mjs';
import { suite } from '../harness/suite.mjs';

const SIZES = [1, 1_000, ONE_PACKET, ONE_PACKET + 1, 65_536, 1_048_576];

async function flowing(room, options = {}) {
  const publisher = await room.publisher('publisher', options);
  const subscriber = await room.subscriber('subscriber', options);
  const sid = await publisher.publish('scan');
  const stream = await subscriber.subscribe(await subscriber.track('publisher', 'scan'));
  await untilFlowing(publisher, sid, stream);
  return { publisher, subscriber, sid, stream };
}

const each = suite();

each(`frames of ${SIZES.join(', ')} bytes arrive whole, with their timestamps`, async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  for (const size of SIZES) {
    await delivered(publisher, sid, stream, Buffer.alloc(size, size % 251), { userTimestamp: 2n ** 63n + BigInt(size) });
  }
  await delivered(publisher, sid, stream, 'without a timestamp');
});

each('an empty frame is delivered by us and never sent by LiveKit', async (room) => {
  const { publisher, sid, stream } = await flowing(room);
  await publisher.push(sid, '');
  if (publisher.kind !== 'node') assert.deepEqual(await read(stream), frameOf(''));
  await delivered(publisher, sid, stream, 'after it');
});

each('unpublishing ends the streams of the others, and the name is free again', async (room) => {
  const { publisher, subscriber, sid, stream } = await flowing(room);
  await assert.rejects(publisher.publish('scan'), /same name|duplicate|already/i);
  await publisher.unpublish(sid);
  await subscriber.unpublished(sid);
  assert.equal(await read(stream), null);
  const again = await publisher.publish('scan');
  assert.equal(await subscriber.track('publisher', 'scan'), again);
});

each('a track can be subscribed again', async (room) => {
  const { publisher, subscriber, sid, stream } = await flowing(room);
  await stream.close();
  const second = await subscriber.subscribe(sid);
  await untilFlowing(publisher, sid, second);
  await delivered(publisher, sid, second, 'again');
});

for (const derivation of ['pbkdf2', 'hkdf']) {
  each(`encrypted frames arrive when both have the key (${derivation})`, async (room) => {
    const { publisher, sid, stream } = await flowing(room, { encryption: { key: 'a secret of many', derivation } });
    for (const size of [1, ONE_PACKET, 65_536]) await delivered(publisher, sid, stream, Buffer.alloc(size, 7));
  });
}
