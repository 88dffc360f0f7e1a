import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { accessOf, accessRoles, accessTable, requestPermissions, type Access, type Permission } from '@aovpn/api';
import type { Peer, Polkit } from '@aovpn/host';
import { AccessDesk } from '../src/access-desk.ts';
import { createRouter, withoutSecrets } from '../src/router.ts';

const process = { startTime: 7n, isAlive: () => true };
const root: Peer = { pid: 1, uid: 0, gid: 0, groups: [] };
const admin: Peer = { pid: 2, uid: 1000, gid: 1000, groups: [888], process };
const member: Peer = { pid: 3, uid: 1001, gid: 1001, groups: [4, 777], process };
const named: Peer = { pid: 4, uid: 1002, gid: 1002, groups: [], process };
const owner: Peer = { pid: 5, uid: 1003, gid: 1003, groups: [], process };
const other: Peer = { pid: 6, uid: 1004, gid: 1004, groups: [], process };

suite('who may ask', () => {
  const warnings: string[] = [];
  const asked: string[] = [];
  let polkitSays: Awaited<ReturnType<Polkit['ask']>> = { kind: 'no' };
  let isThere = false;
  const log = { warn: (text: string) => warnings.push(text), info: () => {} };
  const isNamed = (uid: number): boolean => uid === named.uid;
  const desk = new AccessDesk(
    {
      group: () => 777,
      adminGroup: () => 888,
      mayAnswer: isNamed,
      mayOpenPortal: isNamed,
      ownerOf: (connection) => (connection === 'own' ? owner.uid : undefined),
      ownsAny: (uid) => uid === owner.uid,
    },
    {
      isThere: () => isThere,
      ask: async ({ action, peer }) => {
        asked.push(`${action} ${peer.uid}`);
        return polkitSays;
      },
    },
    log as never,
  );
  const question = [{ id: 'q', connection: 'own' }];
  const store = { meant: (name: string) => name };
  const daemon = { log, store, prompts: { list: () => question }, wishes: { mayAnswer: isNamed }, overview: {} };
  const router = createRouter(daemon as never, desk);
  const never = new AbortController().signal;

  /** What stands for the parameter of a path is about a connection of the owner, or of nobody. */
  async function ask(request: string, peer: Peer, connection: 'own' | 'corp'): Promise<number | 'handled'> {
    const [method, path] = request.split(' ') as [string, string];
    const parameter = path.includes(':id') ? (connection === 'own' ? 'q' : 'gone') : connection;
    const segments = path
      .slice(1)
      .replace(/:[a-z]+/, parameter)
      .split('/');
    const query = new Map(path.includes(':') ? [] : [['connection', connection]]);
    const answer = await router({ method, segments, query, peer, interactive: false, gone: never });
    return typeof answer === 'function' ? 'handled' : 'status' in answer ? answer.status : 200;
  }

  const peers = { root, admin, group: member, named, anybody: other } as const;
  for (const [request, permission] of Object.entries(requestPermissions)) {
    test(`${request}: ${permission}`, async () => {
      for (const [role, peer] of Object.entries(peers) as [keyof typeof peers, Peer][]) {
        const cell = accessTable[permission][role];
        const handled = cell === 'yes' || cell === 'own';
        isThere = false;
        assert.equal(await ask(request, peer, 'corp'), handled ? 'handled' : 403, `${role} without polkit`);
        isThere = true;
        asked.length = 0;
        polkitSays = { kind: 'yes' };
        assert.equal(await ask(request, peer, 'corp'), handled || cell === 'ask' ? 'handled' : 403, `${role} with polkit`);
        assert.equal(asked.length, cell === 'ask' ? 1 : 0, 'asked about what the table leaves to it, and about nothing else');
        for (const says of [{ kind: 'no' }, { kind: 'asks' }, { kind: 'absent', why: 'broken' }] as const) {
          polkitSays = says;
          assert.equal(await ask(request, peer, 'corp'), handled ? 'handled' : 403, `${role}, polkit: ${says.kind}`);
        }
      }
      isThere = false;
      const cell = accessTable[permission].owner;
      assert.equal(await ask(request, owner, 'own'), cell === 'own' || cell === 'yes' ? 'handled' : 403, 'of one’s own');
      const rest = accessTable[permission].anybody;
      // A list has something for them whatever else is asked for, and a question that is gone belongs to nobody.
      if (accessTable[permission].owner !== 'own' || /:name|doctor|certificates|logs|trace/.test(request))
        assert.equal(await ask(request, owner, 'corp'), cell === 'yes' ? 'handled' : 403, 'of somebody else');
      assert.equal(await ask(request, other, 'own'), rest === 'yes' ? 'handled' : 403);
    });
  }

  test('who is several has the best of the cells, and nobody gets a better one than root', () => {
    const order: readonly Access[] = ['yes', 'own', 'ask', 'no'];
    for (const permission of Object.keys(accessTable) as Permission[]) {
      assert.equal(accessOf(permission, new Set(['root'])), 'yes');
      for (const a of accessRoles)
        for (const b of accessRoles) {
          const best = order[Math.min(...[a, b, 'anybody' as const].map((role) => order.indexOf(accessTable[permission][role])))];
          assert.equal(accessOf(permission, new Set([a, b])), best, `${permission} ${a} ${b}`);
        }
    }
  });

  test('nobody without a single cell gets as far as a request', () => {
    isThere = false;
    for (const peer of Object.values(peers)) assert.equal(desk.admits(peer), peer !== other);
    assert.equal(desk.admits(owner), true);
    isThere = true;
    assert.equal(desk.admits(other), true);
    const { process: _, ...nameless } = other;
    assert.equal(desk.admits(nameless), false, 'of whom polkit could not be asked');
  });

  test('what is not in the contract is not there, and says so to root as well', async () => {
    for (const request of [
      'GET /v1/nothing',
      'POST /v1/status',
      'DELETE /v1/profiles',
      'GET /v1/profiles/a/b',
      'GET /',
      'PATCH /v1/profiles/a',
    ])
      assert.equal(await ask(request, root, 'corp'), 404);
  });

  test('whatever else is asked for, a list of somebody else is cut down to what is theirs', async () => {
    const connections = [{ name: 'own' }, { name: 'corp' }];
    const prompts = { list: () => [{ connection: 'own' }, { connection: 'corp' }] };
    const whole = {
      log,
      store,
      prompts,
      wishes: { mayAnswer: isNamed },
      overview: {
        profiles: () => connections,
        status: async () => ({ connections, profiles: connections, traffic: {} }),
      },
    };
    const route = createRouter(whole as never, desk);
    const list = async (peer: Peer, name: string, connection: string): Promise<unknown> => {
      const query = new Map([['connection', connection]]);
      const handler = await route({ method: 'GET', segments: ['v1', name], query, peer, interactive: false, gone: never });
      assert.ok(typeof handler === 'function');
      const answer = await handler(undefined);
      return 'body' in answer ? answer.body : answer;
    };
    for (const connection of ['own', 'corp']) {
      assert.deepEqual(await list(owner, 'status', connection), { connections: [{ name: 'own' }], profiles: [{ name: 'own' }] });
      assert.deepEqual(await list(owner, 'profiles', connection), [{ name: 'own' }]);
      assert.deepEqual(await list(owner, 'prompts', connection), [{ connection: 'own' }]);
      assert.deepEqual(await list(member, 'profiles', connection), connections);
    }
  });

  test('who was refused what is logged', async () => {
    isThere = false;
    await ask('GET /v1/plan', other, 'corp');
    assert.match(warnings.at(-1)!, /user 1004 \(process 6\) was refused GET \/v1\/plan/);
  });
});

suite('what the group sees of a profile', () => {
  for (const element of [
    '<L2tpPsk>hunter2</L2tpPsk>',
    '<L2tpPsk><![CDATA[hunter2]]></L2tpPsk>',
    '<L2tpPsk><!-- not here -->hunter2</L2tpPsk >',
    '<L2tpPsk a=">">hunter2</L2tpPsk>',
    '<L2tpPsk>\nhunter2\n</L2tpPsk>',
    '<L2tpPsk>hunter2',
    '<L2tpPsk/><L2tpPsk>hunter2</L2tpPsk>',
  ]) {
    test(JSON.stringify(element), () => {
      const shown = withoutSecrets(`<VPNProfile><Servers>a.example</Servers>${element}</VPNProfile>`);
      assert.ok(!shown.includes('hunter2'), shown);
      assert.ok(shown.includes('a.example'));
    });
  }

  test('everything else is shown', () => {
    const rest = '<VPNProfile><L2tpPsk/><Servers>a.example</Servers></VPNProfile>';
    assert.match(withoutSecrets(rest), /<Servers>a\.example<\/Servers>/);
  });
});
