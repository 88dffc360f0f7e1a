import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findAddresses, findNameServers, type AskServers } from '../../src/registration/find-zone.ts';
import { encodeQuery, recordType } from '../../src/registration/update-message.ts';

/** An answer to a question, with these records; their owner is the name that was asked for. */
function answer(name: string, type: number, data: readonly (readonly number[])[]): Uint8Array {
  const question = encodeQuery(1, name, type);
  const records = data.flatMap((octets) => [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 9, 0, octets.length, ...octets]);
  const message = Uint8Array.from([...question, ...records]);
  message[2] = 0x84;
  message[6] = data.length >> 8;
  message[7] = data.length & 0xff;
  return message;
}

suite('name servers of a zone', () => {
  test('that has them without end: no more are looked at than a zone has', async () => {
    const hostile: AskServers = (name, type) => {
      const number = Number(/^n(\d+)\./.exec(name)?.[1] ?? 0);
      const many = (make: (i: number) => number[]): Uint8Array =>
        answer(
          name,
          type,
          Array.from({ length: 1000 }, (_, i) => make(i)),
        );
      return Promise.resolve(
        type === recordType.ns
          ? many((i) => [`n${i}`, 'corp', 'example'].flatMap((label) => [label.length, ...Buffer.from(label)]).concat(0))
          : type === recordType.a
            ? many((i) => [10, number, i >> 8, i & 0xff])
            : many((i) => [0xfd, ...new Uint8Array(12).fill(number), i >> 8, i & 0xff, 1]),
      );
    };
    assert.equal((await findAddresses('n1.corp.example', hostile)).length, 16);
    assert.equal((await findNameServers('corp.example', hostile)).length, 13 * 16);
  });
});
