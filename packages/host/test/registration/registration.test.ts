import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { HostError } from '../../src/host-error.ts';
import { registerName, withdrawName, type NameRegistration } from '../../src/registration/register-name.ts';
import { exchange } from '../../src/registration/exchange.ts';
import { askServers, type UpdateCredential } from '../../src/registration/send-update.ts';
import { encodeQuery } from '../../src/registration/update-message.ts';
import { inOwnNamespace, sh } from '../network/namespace.ts';
import { namedProgram, startBind, zoneText, type Bind } from './bind.ts';

const address = (text: string): IpAddress => parseAddress(text)!;
const primary = '127.0.0.53';
const secondary = '127.0.0.54';

if (namedProgram === undefined) {
  test('dynamic updates of a real BIND', { skip: 'not on this machine: named (bind9)' }, () => undefined);
} else {
  inOwnNamespace(import.meta.url, () => {
    const place = mkdtempSync(join(tmpdir(), 'registration-'));
    const daemons: Bind[] = [];
    const key = (name: string, algorithm: string): string =>
      `key "${name}" {\n\talgorithm ${algorithm};\n\tsecret "${randomBytes(64).toString('base64')}";\n};\n`;
    const keys = { sha256: key('machine.', 'hmac-sha256').replace('machine.', 'machine'), sha512: key('strong', 'hmac-sha512') };
    const keyFile = (name: string, text: string): UpdateCredential => {
      const file = join(place, name);
      writeFileSync(file, text);
      chmodSync(file, 0o600);
      return { kind: 'tsig', keyFile: file };
    };
    const wish = (more: Partial<NameRegistration> = {}): NameRegistration => ({
      device: 'lo',
      name: 'laptop.corp.example',
      addresses: [address('10.9.0.2'), address('fd00:9::2')],
      servers: [address(primary)],
      credential: keyFile('machine.key', keys.sha256),
      leadsThrough: () => true,
      ...more,
    });
    const dig = async (...args: string[]): Promise<string[]> => {
      const child = spawn('dig', ['+short', `@${primary}`, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await once(child, 'close');
      return output.trim().split('\n').filter(Boolean).sort();
    };
    const refusal = async (registration: NameRegistration): Promise<HostError> => {
      try {
        await registerName(registration);
      } catch (error) {
        if (error instanceof HostError) return error;
        throw error;
      }
      throw new Error('it was registered');
    };

    suite('dynamic updates of a real BIND', () => {
      before(async () => {
        const zones = ['corp.example', '9.10.in-addr.arpa', '9.0.0.0.0.0.d.f.ip6.arpa'];
        const grants = `update-policy { grant machine zonesub ANY; grant strong zonesub ANY; };`;
        daemons.push(
          await startBind({
            directory: join(place, 'primary'),
            address: primary,
            ready: 'corp.example',
            zones: {
              'corp.example.zone': zoneText('ns1', `ns1 IN A ${primary}\nlaptop IN TXT "keep me"\nlaptop IN A 10.1.1.1\n`),
              '9.10.in-addr.arpa.zone': zoneText('ns1.corp.example.'),
              '9.0.0.0.0.0.d.f.ip6.arpa.zone': zoneText('ns1.corp.example.'),
              'open.example.zone': zoneText('ns1.corp.example.'),
              'closed.example.zone': zoneText('ns1.corp.example.'),
            },
            config: `${keys.sha256}${keys.sha512}${zones.map((zone) => `zone "${zone}" { type primary; file "${zone}.zone"; ${grants} };`).join('\n')}
zone "open.example" { type primary; file "open.example.zone"; allow-update { any; }; };
zone "closed.example" { type primary; file "closed.example.zone"; };`,
          }),
        );
        daemons.push(
          await startBind({
            directory: join(place, 'secondary'),
            address: secondary,
            ready: 'corp.example',
            zones: {},
            config: `zone "corp.example" { type secondary; file "corp.example.zone"; primaries { ${primary}; }; };`,
          }),
        );
      });
      after(async () => {
        for (const daemon of daemons) await daemon.stop();
        rmSync(place, { recursive: true });
      });

      for (const [name, text] of Object.entries(keys)) {
        test(`${name}: A, AAAA and PTR, in place of what was there; then out again`, async () => {
          const registered = await registerName(wish({ credential: keyFile(`${name}.key`, text) }));
          assert.deepEqual(await dig('laptop.corp.example', 'A'), ['10.9.0.2']);
          assert.deepEqual(await dig('laptop.corp.example', 'AAAA'), ['fd00:9::2']);
          assert.deepEqual(await dig('-x', '10.9.0.2'), ['laptop.corp.example.']);
          assert.deepEqual(await dig('-x', 'fd00:9::2'), ['laptop.corp.example.']);
          assert.deepEqual(await dig('laptop.corp.example', 'TXT'), ['"keep me"'], 'other records stay');
          assert.deepEqual(registered.notes, []);
          const who = name === 'sha256' ? 'machine' : 'strong';
          assert.match(daemons[0]!.log(), new RegExp(`/key ${who}: updating zone 'corp.example/IN'`), 'BIND saw the key');
          // Somebody else's address under the same name is none of ours.
          await registerName(wish({ name: 'other.corp.example', addresses: [address('10.9.0.7')] }));
          await withdrawName({ ...registered, registration: { ...registered.registration, name: 'laptop.corp.example' } });
          assert.deepEqual(await dig('laptop.corp.example', 'A'), []);
          assert.deepEqual(await dig('laptop.corp.example', 'AAAA'), []);
          assert.deepEqual(await dig('-x', '10.9.0.2'), []);
          assert.deepEqual(await dig('other.corp.example', 'A'), ['10.9.0.7']);
        });
      }

      test('withdrawing leaves what another one has put there since', async () => {
        const registered = await registerName(wish());
        await registerName(wish({ addresses: [address('10.9.0.3')] }));
        await withdrawName(registered);
        assert.deepEqual(await dig('laptop.corp.example', 'A'), ['10.9.0.3']);
      });

      test('the primary is told, though only a secondary was given', async () => {
        const { server } = await registerName(wish({ servers: [address(secondary)], addresses: [address('10.9.0.4')] }));
        assert.deepEqual(server, address(primary));
        assert.deepEqual(await dig('laptop.corp.example', 'A'), ['10.9.0.4']);
      });

      test('a server that answers an octet now and then has its time like any other, and all of them together have theirs', async (t) => {
        const drips = await Promise.all(
          ['127.0.0.55', '127.0.0.56', '127.0.0.57'].map(async (host) => {
            let asked = 0;
            const server = createServer((socket: Socket) => {
              asked++;
              socket.resume();
              let left = 40;
              const timer = setInterval(() => (left-- > 0 ? socket.write(Uint8Array.of(0xff)) : socket.end()), 100);
              socket.on('close', () => clearInterval(timer));
              socket.on('error', () => undefined);
            });
            t.after(() => server.close());
            server.listen(53, host);
            await once(server, 'listening');
            return { address: address(host), asked: () => asked };
          }),
        );
        const servers = drips.map((one) => one.address);
        await assert.rejects(exchange(undefined, servers[0]!, encodeQuery(1, 'corp.example', 6), 500), /not answered in time/);
        const ask = askServers({ device: undefined, servers, until: Date.now() + 700 });
        await assert.rejects(ask('corp.example', 6), /take too long/);
        assert.deepEqual(
          drips.map(({ asked }) => asked()),
          [2, 0, 0],
        );
      });

      test('no key where the server takes none', async () => {
        const credential = { kind: 'none' } as const;
        const registered = await registerName(
          wish({ name: 'laptop.open.example', credential, addresses: [address('10.9.0.2')] }),
        );
        assert.deepEqual(await dig('laptop.open.example', 'A'), ['10.9.0.2']);
        assert.equal(registered.notes.length, 1, 'the reverse zone wants a key');
        assert.match(registered.notes[0]!, /no reverse name for 10\.9\.0\.2: .*REFUSED/);
      });

      test('refused, wrong key, unknown key, bad file, no zone: each its own code', async () => {
        assert.equal((await refusal(wish({ credential: { kind: 'none' } }))).code, 'AOV-HOST-331');
        assert.equal((await refusal(wish({ name: 'laptop.closed.example' }))).code, 'AOV-HOST-331');
        const wrong = await refusal(wish({ credential: keyFile('wrong.key', key('machine', 'hmac-sha256')) }));
        assert.deepEqual([wrong.code, /BADSIG/.test(wrong.message)], ['AOV-HOST-332', true]);
        const unknown = await refusal(wish({ credential: keyFile('unknown.key', key('nobody', 'hmac-sha256')) }));
        assert.deepEqual([unknown.code, /BADKEY/.test(unknown.message)], ['AOV-HOST-332', true]);
        const bad = await refusal(wish({ credential: keyFile('bad.key', 'secret') }));
        assert.equal(bad.code, 'AOV-HOST-334');
        assert.equal(
          (await refusal(wish({ name: 'laptop.nowhere.test' }))).code,
          'AOV-HOST-330',
          'BIND refuses to say anything about it',
        );
        const open = keyFile('open.key', keys.sha256);
        chmodSync((open as { keyFile: string }).keyFile, 0o644);
        assert.equal((await refusal(wish({ credential: open }))).code, 'AOV-HOST-101');
      });

      test('clocks that differ', async (t) => {
        t.mock.method(Date, 'now', () => 1_900_000_000_000);
        assert.equal((await refusal(wish())).code, 'AOV-HOST-333');
      });

      test('through its device or not at all', async () => {
        sh('ip link add dummy0 type veth peer name dummy1');
        sh('ip link set dummy0 up');
        const before = daemons[0]!.log().length;
        assert.equal((await refusal(wish({ device: 'dummy0' }))).code, 'AOV-HOST-330');
        assert.doesNotMatch(daemons[0]!.log().slice(before), /updating zone/);
      });

      test('a server that says yes without having the key, or with another answer’s signature, is not believed', async () => {
        const clients: Socket[] = [];
        let forge = (message: Buffer): Buffer => message;
        const liar = createServer((client) => {
          clients.push(client);
          client.on('error', () => undefined);
          client.on('data', (data) => {
            const answer = forge(Buffer.from(data.subarray(2)));
            client.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 0xff]), answer]));
          });
        });
        liar.listen(53, '127.0.0.66');
        await once(liar, 'listening');
        try {
          const zone = zoneAnswer;
          forge = (message) => {
            if ((message[2]! & 0x78) === 0) return zone(message);
            // "Done", as a copy of the question, whose signature is that of the question.
            const answer = Buffer.from(message);
            answer[2] = 0xa8;
            answer[3] = 0;
            return answer;
          };
          const echoed = await refusal(wish({ servers: [address('127.0.0.66')] }));
          assert.deepEqual([echoed.code, /signature is wrong/.test(echoed.message)], ['AOV-HOST-332', true]);
          forge = (message) => {
            if ((message[2]! & 0x78) === 0) return zone(message);
            const answer = Buffer.from(message.subarray(0, 12));
            answer[2] = 0xa8;
            answer.fill(0, 3);
            return answer;
          };
          const unsigned = await refusal(wish({ servers: [address('127.0.0.66')] }));
          assert.deepEqual([unsigned.code, /not signed/.test(unsigned.message)], ['AOV-HOST-332', true]);
          forge = () => randomBytes(40);
          assert.equal((await refusal(wish({ servers: [address('127.0.0.66')] }))).code, 'AOV-HOST-330');
        } finally {
          for (const client of clients) client.destroy();
          liar.close();
        }
      });
    });
  });
}

/** "corp.example has this SOA" for any question; no such record for addresses. */
function zoneAnswer(message: Buffer): Buffer {
  let end = 12;
  while (message[end]) end += message[end]! + 1;
  const question = message.subarray(0, end + 5);
  const isSoa = message[end + 2] === 6;
  const name = [4, ...Buffer.from('corp'), 7, ...Buffer.from('example'), 0];
  const data = [2, ...Buffer.from('ns'), ...name, 0, ...Array.from({ length: 20 }, () => 1)];
  const record = [...name, 0, 6, 0, 1, 0, 0, 0, 9, 0, data.length, ...data];
  const answer = Buffer.from([...question, ...(isSoa ? record : [])]);
  answer[2] = 0x84;
  answer[3] = 0;
  answer.fill(0, 6, 12);
  if (isSoa) answer[9] = 1;
  return answer;
}
