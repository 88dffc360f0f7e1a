import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { PlatformFacts } from '@aovpn/policy';
import { Log } from '../src/log.ts';
import { MachinePlatform } from '../src/machine-platform.ts';

const alone: PlatformFacts = { hostName: 'laptop', sssd: [], keytab: [], realms: [], oidc: [], unread: [] };
const member: PlatformFacts = { ...alone, sssd: [{ name: 'corp.example', provider: 'ldap' }] };

function watched() {
  const world = { facts: alone, mark: 'a', now: 0, reads: 0 };
  const machine = new MachinePlatform({
    log: new Log({ level: 'error', format: 'text', journal: false, write: () => {}, clock: Date.now }),
    read: () => {
      world.reads++;
      return Promise.resolve(world.facts);
    },
    mark: () => world.mark,
    now: () => world.now,
  });
  return { world, machine };
}

suite('where the machine belongs', () => {
  test('is read once for all who ask within some seconds', async () => {
    const { world, machine } = watched();
    const kinds = await Promise.all([machine.held(), machine.held(), machine.held()]);
    world.now = 4_999;
    kinds.push(await machine.held());
    assert.deepEqual([kinds.map(({ kind }) => kind), world.reads], [Array(4).fill('workgroup'), 1]);
    world.now = 5_000;
    world.facts = member;
    assert.equal((await machine.held()).kind, 'domain');
    assert.equal(world.reads, 2);
  });

  test('is read again as soon as a file is seen to have changed', async () => {
    const { world, machine } = watched();
    await machine.held();
    world.facts = member;
    world.mark = 'b';
    assert.equal((await machine.held()).joinedTo, 'corp.example');
    assert.equal(machine.hostName, 'laptop.corp.example');
  });
});
