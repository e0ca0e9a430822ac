// Chromium as a user has it: its own addresses hidden behind `.local` names, none on loopback.
import { delivered, untilFlowing } from '../harness/peer.mjs';
import { suite } from '../harness/suite.mjs';

const each = suite({ browserOptions: { asUser: true } });

each('a browser without special flags publishes and reads', async (room) => {
  const publisher = await room.publisher();
  const subscriber = await room.subscriber();
  const sid = await publisher.publish('plain');
  const stream = await subscriber.subscribe(await subscriber.track('publisher', 'plain'));
  await untilFlowing(publisher, sid, stream);
  for (const size of [1, 1_000, 40_000]) await delivered(publisher, sid, stream, 'z'.repeat(size));
});
