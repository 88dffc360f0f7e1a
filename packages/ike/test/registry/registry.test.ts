import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '@aovpn/bytes';
import {
  AuthMethod,
  CertEncoding,
  ConfigAttributeType,
  configAttributeRows,
  describeError,
  encrRow,
  encrRows,
  errorNotify,
  errorNumber,
  ExchangeType,
  exchangeRows,
  IdentityType,
  integRow,
  integRows,
  isErrorNotify,
  keRow,
  keRows,
  nameOfAuthMethod,
  nameOfCertEncoding,
  nameOfConfigAttribute,
  nameOfExchange,
  nameOfIdentityType,
  nameOfNotify,
  nameOfPayload,
  nameOfProtocol,
  nameOfTransform,
  notifyRows,
  NotifyType,
  PayloadType,
  payloadTypeRows,
  ProtocolId,
  prfRow,
  prfRows,
  type IkeProtocolError,
} from '@aovpn/ike';

test('no number and no name comes twice in a table', () => {
  const tables: readonly (readonly (readonly [number, string])[])[] = [
    exchangeRows.map(({ id, name }) => [id, name]),
    payloadTypeRows.map(({ id, kind }) => [id, kind]),
    notifyRows.map(({ type, name }) => [type, name]),
    configAttributeRows.map(({ type, name }) => [type, name]),
    encrRows.map(({ id, name }) => [id, name]),
    prfRows.map(({ id, name }) => [id, name]),
    integRows.map(({ id, name }) => [id, name]),
    keRows.map(({ id, name }) => [id, name]),
  ];
  for (const table of tables) {
    assert.equal(new Set(table.map(([id]) => id)).size, table.length);
    assert.equal(new Set(table.map(([, name]) => name)).size, table.length);
  }
});

test('every word of code has its row, under the same number and name', () => {
  for (const [name, id] of Object.entries(ExchangeType)) assert.equal(nameOfExchange(id), name);
  for (const [name, id] of Object.entries(NotifyType)) assert.equal(nameOfNotify(id), name);
  for (const [name, id] of Object.entries(ConfigAttributeType)) assert.equal(nameOfConfigAttribute(id), name);
  for (const [name, id] of Object.entries(PayloadType)) assert.equal(nameOfPayload(id), id === 0 ? 'payload(0)' : name);
  for (const id of Object.values(IdentityType)) assert.doesNotMatch(nameOfIdentityType(id), /\(/);
  for (const id of Object.values(AuthMethod)) assert.doesNotMatch(nameOfAuthMethod(id), /\(/);
  for (const id of Object.values(CertEncoding)) assert.doesNotMatch(nameOfCertEncoding(id), /\(/);
  for (const id of Object.values(ProtocolId)) assert.doesNotMatch(nameOfProtocol(id), /\(/);
});

test('numbers without a name are shown as numbers', () => {
  const names = [
    nameOfExchange(240),
    nameOfPayload(200),
    nameOfNotify(12344),
    nameOfConfigAttribute(23456),
    nameOfIdentityType(99),
  ];
  assert.deepEqual(names, ['exchange(240)', 'payload(200)', 'notify(12344)', 'attribute(23456)', 'identity(99)']);
  assert.deepEqual(
    [nameOfAuthMethod(200), nameOfCertEncoding(200), nameOfProtocol(9)],
    ['authentication method(200)', 'certificate encoding(200)', 'protocol(9)'],
  );
  assert.equal(nameOfTransform(1, 20), 'AES-GCM-16');
  assert.equal(nameOfTransform(1, 99), 'transform(1, 99)');
});

test('errors are what is below 16384 (RFC 7296 §3.10.1)', () => {
  for (const row of notifyRows) assert.equal(isErrorNotify(row.type), row.error, row.name);
  assert.equal(isErrorNotify(12345), true, 'the private error of Windows');
  assert.equal(isErrorNotify(0), false);
});

test('a row that must be there, or our own mistake', () => {
  assert.equal(encrRow(20).aead, true);
  assert.equal(prfRow(7).length, 64);
  assert.equal(integRow(2).icvLength, 12);
  assert.equal(keRow(31).name, 'X25519');
  for (const lookup of [encrRow, prfRow, integRow, keRow]) assert.throws(() => lookup(9999), RangeError);
});

const errors: readonly (readonly [error: IkeProtocolError, number: number, data: string])[] = [
  [{ kind: 'UNSUPPORTED_CRITICAL_PAYLOAD', payloadType: 200 }, 1, 'c8'],
  [{ kind: 'INVALID_IKE_SPI' }, 4, ''],
  [{ kind: 'INVALID_MAJOR_VERSION', version: 2 }, 5, '02'],
  [{ kind: 'INVALID_SYNTAX', detail: 'for our eyes only' }, 7, ''],
  [{ kind: 'INVALID_MESSAGE_ID', messageId: 0xfffefdfc }, 9, 'fffefdfc'],
  [{ kind: 'INVALID_SPI', spi: fromHex('c0ffee01') }, 11, 'c0ffee01'],
  [{ kind: 'NO_PROPOSAL_CHOSEN' }, 14, ''],
  [{ kind: 'INVALID_KE_PAYLOAD', group: 0x0113 }, 17, '0113'],
  [{ kind: 'AUTHENTICATION_FAILED' }, 24, ''],
  [{ kind: 'SINGLE_PAIR_REQUIRED' }, 34, ''],
  [{ kind: 'NO_ADDITIONAL_SAS' }, 35, ''],
  [{ kind: 'INTERNAL_ADDRESS_FAILURE' }, 36, ''],
  [{ kind: 'FAILED_CP_REQUIRED' }, 37, ''],
  [{ kind: 'TS_UNACCEPTABLE' }, 38, ''],
  [{ kind: 'INVALID_SELECTORS', packet: fromHex('4500') }, 39, '4500'],
  [{ kind: 'TEMPORARY_FAILURE' }, 43, ''],
  [{ kind: 'CHILD_SA_NOT_FOUND', protocol: 3, spi: fromHex('c0ffee01') }, 44, ''],
];
for (const [error, number, data] of errors) {
  test(`${error.kind} knows its number and its Notify`, () => {
    assert.equal(errorNumber(error), number);
    const notify = errorNotify(error);
    assert.deepEqual([notify.type, toHex(notify.data)], [number, data]);
    assert.equal(nameOfNotify(notify.type), error.kind);
    const isChild = error.kind === 'CHILD_SA_NOT_FOUND';
    assert.deepEqual([notify.protocol, toHex(notify.spi)], isChild ? [3, 'c0ffee01'] : [0, '']);
    assert.ok(describeError(error).startsWith(error.kind));
  });
}

test('all errors of RFC 7296 §3.10.1 have a shape', () => {
  const shaped = new Set(errors.map(([, number]) => number));
  const ofRfc7296 = notifyRows.filter((row) => row.error && row.reference.startsWith('RFC 7296'));
  assert.deepEqual(
    ofRfc7296.filter((row) => !shaped.has(row.type)).map((row) => row.name),
    [],
  );
});
