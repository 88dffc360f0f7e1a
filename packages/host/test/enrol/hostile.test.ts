// What a server, or somebody in its place, may send: nothing of it may do more than fail.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromBase64, readCertsOnly } from '../../src/enrol/certs-only.ts';
import { decryptWith, encryptFor, signMessage, verifyMessage } from '../../src/enrol/cms.ts';
import { readCsrAttributes } from '../../src/enrol/csr-attributes.ts';
import { spkiOf } from '../../src/enrol/certificate-request.ts';
import { selfSigned } from '../../src/enrol/self-signed.ts';
import { CertificateError } from '../../src/trust/certificate.ts';

const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const certificate = selfSigned(key, Uint8Array.of(0x30, 0), spkiOf(key));
const message = signMessage({ certificate, key }, encryptFor(certificate, randomBytes(200)), []);
const envelope = encryptFor(certificate, randomBytes(200));
const readers: readonly (readonly [string, (octets: Uint8Array) => unknown])[] = [
  ['certs-only', readCertsOnly],
  ['CSR attributes', readCsrAttributes],
  ['a message', (octets) => verifyMessage(octets, [certificate], true)],
  ['an envelope', (octets) => decryptWith(key, octets, true)],
  ['base64', (octets) => fromBase64(Buffer.from(octets).toString('latin1'))],
];

function onlyFails(read: (octets: Uint8Array) => unknown, octets: Uint8Array): void {
  try {
    read(octets);
  } catch (error) {
    assert.ok(error instanceof CertificateError, String(error));
  }
}

for (const [what, read] of readers) {
  test(`${what}: octets at random, parts of real messages, and real ones with changes fail cleanly`, () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => onlyFails(read, octets)));
    fc.assert(
      fc.property(
        fc.constantFrom(message, envelope, certificate.der),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (real, changes, cut) => {
          const octets = Uint8Array.from(real);
          for (const [at, value] of changes) octets[at % octets.length] = value;
          onlyFails(read, cut % 4 === 0 ? octets.subarray(0, cut % octets.length) : octets);
        },
      ),
    );
  });

  test(`${what}: nesting without end fails cleanly`, () => {
    onlyFails(read, new Uint8Array(200_000).fill(0x30));
    onlyFails(
      read,
      Uint8Array.from({ length: 200_000 }, (_, i) => (i % 2 === 0 ? 0x30 : 0x80)),
    );
  });
}

test('a message in which any one tag says that parts of another kind follow', () => {
  for (let at = 0; at < message.length; at++) {
    const octets = Uint8Array.from(message);
    octets[at] = 0x60;
    onlyFails((changed) => verifyMessage(changed, [certificate], true), octets);
  }
});

test('a message that was changed anywhere in what is signed is not believed', () => {
  const { content } = verifyMessage(message, [certificate], false);
  assert.ok(content);
  fc.assert(
    fc.property(fc.nat(message.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const octets = Uint8Array.from(message);
      octets[at]! ^= flip;
      let believed: Uint8Array | undefined;
      try {
        believed = verifyMessage(octets, [certificate], false).content;
      } catch {
        return;
      }
      // What is not signed (the certificate that came with it) may differ; the content may not.
      assert.deepEqual(believed, content);
    }),
  );
});
