import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import type { SessionTicket } from '@aovpn/ike';
import { Log } from '../src/log.ts';
import { TicketStore } from '../src/ticket-store.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-tickets-'));
after(() => rmSync(directory, { recursive: true }));
const lines: string[] = [];
const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now });

const ticketOf = (octet: number): SessionTicket => ({
  ticket: Uint8Array.of(octet, 1),
  suite: { encr: 20, keyBits: 256, prf: 5, integ: 0, ke: 31 },
  skD: new Uint8Array(32).fill(octet),
  identity: { type: 2, data: Uint8Array.of(97) },
  gatewayIdentity: { type: 2, data: Uint8Array.of(98) },
  gatewaySubject: 'CN=vpn.example',
});

let count = 0;
function storeAt(now: () => number, file = path.join(directory, `${++count}.json`)): { store: TicketStore; file: string } {
  return { store: new TicketStore(file, log, now), file };
}

suite('tickets', () => {
  test('survive the daemon in a file that only root reads, and are gone with the last one', async () => {
    const { store, file } = storeAt(() => 0);
    store.keep('corp', 'k', ticketOf(7), 1000);
    await store.settled();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const { store: next } = storeAt(() => 999, file);
    await next.load();
    assert.deepEqual(next.find('corp', 'k'), ticketOf(7));
    next.forget('corp');
    await next.settled();
    assert.ok(!existsSync(file));
  });

  test('are good for their own connection, key and time only', async () => {
    let now = 0;
    const { store, file } = storeAt(() => now);
    store.keep('corp', 'k', ticketOf(7), 1000);
    assert.equal(store.find('other', 'k'), undefined);
    now = 1000;
    assert.equal(store.find('corp', 'k'), undefined);
    store.keep('corp', 'k', ticketOf(7), 1000);
    assert.equal(store.find('corp', 'another user'), undefined);
    assert.equal(store.find('corp', 'k'), undefined, 'and forgotten at once');
    await store.settled();
    assert.ok(!existsSync(file));
  });

  test('SK_d is overwritten when a ticket goes', () => {
    const { store } = storeAt(() => 0);
    const ticket = ticketOf(7);
    store.keep('corp', 'k', ticket, 1000);
    store.keep('corp', 'k', ticketOf(8), 1000);
    assert.deepEqual(ticket.skD, new Uint8Array(32));
  });

  test('a file of another make is passed over', async () => {
    for (const text of ['no JSON', '{"corp":{"key":"k","until":9e99,"ticket":{"skD":"text"}}}', '[]', 'null']) {
      const { store, file } = storeAt(() => 0);
      writeFileSync(file, text);
      await store.load();
      assert.equal(store.find('corp', 'k'), undefined);
      assert.equal(readFileSync(file, 'utf8'), text);
    }
  });
});
