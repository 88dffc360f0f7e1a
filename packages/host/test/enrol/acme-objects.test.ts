import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { readAuthorization, readDirectory, readOrder, readProblem } from '../../src/enrol/acme/acme-objects.ts';
import { EnrolError } from '../../src/enrol/enrol-error.ts';

const server = new URL('https://example.com/acme/directory');
const octets = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

/** Examples of RFC 8555 §7.1.1, §7.1.3, §7.1.4 (with a challenge of §8.4), §6.7.1. */
const directory = {
  newNonce: 'https://example.com/acme/new-nonce',
  newAccount: 'https://example.com/acme/new-account',
  newOrder: 'https://example.com/acme/new-order',
  newAuthz: 'https://example.com/acme/new-authz',
  revokeCert: 'https://example.com/acme/revoke-cert',
  keyChange: 'https://example.com/acme/key-change',
  meta: {
    termsOfService: 'https://example.com/acme/terms/2017-5-30',
    website: 'https://www.example.com/',
    caaIdentities: ['example.com'],
    externalAccountRequired: false,
  },
};
const order = {
  status: 'valid',
  expires: '2016-01-20T14:09:07.99Z',
  identifiers: [
    { type: 'dns', value: 'www.example.org' },
    { type: 'dns', value: 'Example.ORG' },
  ],
  authorizations: ['https://example.com/acme/authz/PAniVnsZcis', 'https://example.com/acme/authz/r4HqLzrSrpI'],
  finalize: 'https://example.com/acme/order/TOlocE8rfgo/finalize',
  certificate: 'https://example.com/acme/cert/mAt3xBGaobw',
};
const challenge = {
  type: 'dns-01',
  url: 'https://example.com/acme/chall/Rg5dV14Gh1Q',
  status: 'pending',
  token: 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA',
};
const authorization = {
  status: 'pending',
  identifier: { type: 'dns', value: 'www.example.org' },
  challenges: [challenge, { type: 'of-tomorrow', url: 'https://example.com/acme/chall/x', status: 'pending' }],
};
const problem = {
  type: 'urn:ietf:params:acme:error:malformed',
  detail: 'Some of the identifiers requested were rejected',
  subproblems: [
    {
      type: 'urn:ietf:params:acme:error:rejectedIdentifier',
      detail: 'This CA will not issue for "example.net"',
      identifier: { type: 'dns', value: 'example.net' },
    },
  ],
};

const unusable = (read: () => unknown, detail: RegExp): void => {
  assert.throws(read, (error) => error instanceof EnrolError && error.failure === 'unusable' && detail.test(error.message));
};

suite('objects of ACME', () => {
  test('a directory', () => {
    assert.deepEqual(readDirectory(octets(directory), server), {
      newNonce: directory.newNonce,
      newAccount: directory.newAccount,
      newOrder: directory.newOrder,
      terms: 'https://example.com/acme/terms/2017-5-30',
      bindingRequired: false,
    });
    const { meta: _, ...bare } = directory;
    assert.deepEqual(readDirectory(octets(bare), server).terms, undefined);
    const { newOrder: __, ...less } = directory;
    unusable(() => readDirectory(octets(less), server), /newOrder: no URL/);
  });

  test('URLs stay letter by letter as the server wrote them', () => {
    const odd = 'https://example.com/acme/%7Enew order/../x';
    assert.equal(readDirectory(octets({ ...directory, newOrder: odd }), server).newOrder, odd);
  });

  test('an order', () => {
    const read = readOrder(octets(order), server);
    assert.deepEqual(read.names, ['www.example.org', 'example.org']);
    assert.deepEqual(read.authorizations, order.authorizations);
    assert.equal(read.certificate, order.certificate);
    assert.equal(readOrder(octets({ ...order, status: 'ready' }), server).certificate, undefined);
    assert.equal(readOrder(octets({ ...order, status: 'invalid', error: problem }), server).error?.type, 'malformed');
    unusable(() => readOrder(octets({ ...order, certificate: undefined }), server), /certificate: no URL/);
    unusable(() => readOrder(octets({ ...order, identifiers: [{ type: 'ip', value: '192.0.2.1' }] }), server), /no DNS name/);
    unusable(
      () => readOrder(octets({ ...order, authorizations: Array.from({ length: 17 }, () => order.finalize) }), server),
      /17 auth/,
    );
  });

  test('an authorisation, with challenges of kinds that nobody knows', () => {
    const read = readAuthorization(octets(authorization), server);
    assert.deepEqual([read.status, read.name], ['pending', 'www.example.org']);
    assert.deepEqual(
      read.challenges.map(({ type, token }) => [type, token]),
      [
        ['dns-01', challenge.token],
        ['of-tomorrow', undefined],
      ],
    );
    for (const token of [undefined, '', 'a b', 'a.b', '"\n', 'x'.repeat(513), 7])
      unusable(
        () => readAuthorization(octets({ ...authorization, challenges: [{ ...challenge, token }] }), server),
        /token is not base64url/,
      );
    unusable(
      () => readAuthorization(octets({ ...authorization, challenges: Array.from({ length: 33 }, () => challenge) }), server),
      /33 chall/,
    );
  });

  test('a problem, with its parts', () => {
    assert.deepEqual(readProblem(octets(problem)), {
      type: 'malformed',
      detail: 'Some of the identifiers requested were rejected; example.net: This CA will not issue for "example.net"',
      instance: undefined,
    });
    assert.equal(readProblem(octets({ type: 'about:blank' }))?.type, 'about:blank');
    assert.equal(readProblem(octets('words')), undefined);
    assert.equal(readProblem(Buffer.from('<html>')), undefined);
  });

  test('anything at random, and real objects with anything in the place of any one member, fail cleanly', () => {
    const readers = [readDirectory, readOrder, readAuthorization];
    const tryAll = (body: Uint8Array): void => {
      for (const read of readers) {
        try {
          read(body, server);
        } catch (error) {
          assert.ok(error instanceof EnrolError, String(error));
        }
      }
      readProblem(body);
    };
    fc.assert(fc.property(fc.json(), (text) => tryAll(Buffer.from(text))));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), tryAll));
    fc.assert(
      fc.property(
        fc.constantFrom<object>(directory, order, authorization, problem),
        fc.nat(),
        fc.jsonValue(),
        (real, at, value) => {
          const names = Object.keys(real);
          tryAll(octets({ ...real, [names[at % names.length]!]: value }));
        },
      ),
    );
  });
});
