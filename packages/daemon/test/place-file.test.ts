import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { Log } from '../src/log.ts';
import { PlaceFile } from '../src/place-file.ts';

suite('where connections worked', () => {
  let directory: string;
  let file: string;
  const log = new Log({ level: 'error', format: 'text', journal: false, write: () => {}, clock: Date.now });
  const place = (server: string, address: string) => ({
    server,
    address: parseAddress(address)!,
    transport: server.startsWith('tcp') ? ('tcp' as const) : ('udp' as const),
  });
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'places-'));
    file = path.join(directory, 'places.json');
  });
  afterEach(async () => await rm(directory, { recursive: true }));

  test('what is kept is read again, by root only', async () => {
    const places = [place('a.example', '2001:db8::1'), place('tcp.example', '192.0.2.1')];
    const first = new PlaceFile(file, log);
    await first.read();
    await Promise.all([first.keep('corp', places), first.keep('home', [places[1]!])]);
    assert.deepEqual(
      await new PlaceFile(file, log).read(),
      new Map([
        ['corp', places],
        ['home', [places[1]!]],
      ]),
    );
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await first.forget('home');
    assert.deepEqual([...(await new PlaceFile(file, log).read()).keys()], ['corp']);
    assert.doesNotMatch(await readFile(file, 'utf8'), /home/);
  });

  test('a file that is missing or nonsense costs nothing', async () => {
    assert.equal((await new PlaceFile(file, log).read()).size, 0);
    for (const text of ['', '[]', 'null', '{"corp": 7}', '{"corp": [null, {"server": 1}, {"server": "a", "address": "x"}]}']) {
      await writeFile(file, text);
      assert.deepEqual([...(await new PlaceFile(file, log).read()).values()].flat(), []);
    }
  });
});
