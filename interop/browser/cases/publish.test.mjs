// Publishing: which names are taken, and how a refusal reads.
import assert from 'node:assert/strict';

import { suite } from '../harness/suite.mjs';

const NAMES = ['a', 'camera/front depth', 'Größe 温度 🤖', 'x'.repeat(256), ' ', '__proto__'];

const each = suite();

each('any name up to 256 bytes is published and seen', async (room) => {
  const publisher = await room.publisher();
  const subscriber = await room.subscriber();
  for (const name of NAMES) {
    const sid = await publisher.publish(name);
    assert.match(sid, /^DTR_/);
    assert.equal(await subscriber.track('publisher', name), sid);
  }
});

for (const [what, name] of [
  ['empty', ''],
  ['257 bytes', 'x'.repeat(257)],
]) {
  each(`a name that is ${what} is refused and the session goes on`, async (room) => {
    const publisher = await room.publisher();
    await assert.rejects(publisher.publish(name), /name/i);
    assert.match(await publisher.publish('good'), /^DTR_/);
  });
}

each('a name is taken until its track is unpublished', async (room) => {
  const publisher = await room.publisher();
  const first = await publisher.publish('taken');
  await assert.rejects(publisher.publish('taken'), /same name|duplicate|already/i);
  const subscriber = await room.subscriber();
  assert.equal(await subscriber.track('publisher', 'taken'), first);
  await publisher.unpublish(first);
  await subscriber.unpublished(first);
  const second = await publisher.publish('taken');
  assert.notEqual(second, first);
  assert.equal(await subscriber.track('publisher', 'taken'), second);
});

each('two publishers may use the same name', async (room) => {
  const one = await room.publisher('one');
  const two = await room.subscriber('two');
  const [sidOne, sidTwo] = [await one.publish('same'), await two.publish('same')];
  assert.equal(await two.track('one', 'same'), sidOne);
  assert.equal(await one.track('two', 'same'), sidTwo);
});

each('publishing without the grant is refused', async (room) => {
  const publisher = await room.publisher('publisher', { grants: { canPublishData: false } });
  await assert.rejects(publisher.publish('forbidden'), /unauthorized|permission|not allow/i);
});
