import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { requestPermissions } from '@aovpn/api';
import { createRouter, mayAsk, withoutSecrets } from '../src/router.ts';

const root = { pid: 1, uid: 0, gid: 0, groups: [] };
const member = { pid: 2, uid: 1000, gid: 1000, groups: [4, 777] };
const other = { pid: 3, uid: 1001, gid: 1001, groups: [] };

const nobody = (): boolean => false;

suite('who may ask', () => {
  test('root may do everything, the group may look, named users may answer or open portals, nobody else may do anything', () => {
    for (const permission of ['read', 'write', 'answer', 'portal'] as const) {
      assert.equal(mayAsk(root, permission, 777, nobody), true);
      assert.equal(mayAsk(member, permission, 777, nobody), permission === 'read');
      assert.equal(mayAsk({ ...member, groups: [], gid: 777 }, permission, 777, nobody), permission === 'read');
      assert.equal(mayAsk(other, permission, 777, nobody), false);
      assert.equal(mayAsk(other, permission, undefined, nobody), false);
      assert.equal(mayAsk(root, permission, undefined, nobody), true);
      const jo = (uid: number): boolean => uid === member.uid;
      assert.equal(mayAsk(member, permission, 777, jo), permission !== 'write');
      assert.equal(mayAsk(other, permission, 777, jo), false);
    }
  });

  const warnings: string[] = [];
  const promptUsers = new Set<number>();
  const portalUsers = new Set<number>();
  const daemon = {
    log: { warn: (text: string) => warnings.push(text) },
    mayAnswer: (uid: number) => promptUsers.has(uid),
    portal: { mayOpen: (uid: number) => portalUsers.has(uid) },
  };
  const router = createRouter(daemon as never, () => 777);
  const status = (answer: ReturnType<typeof router>): number | 'handled' =>
    typeof answer === 'function' ? 'handled' : 'status' in answer ? answer.status : 200;

  for (const [request, permission] of Object.entries(requestPermissions)) {
    const [method, path] = request.split(' ') as [string, string];
    const segments = path
      .slice(1)
      .replace(/:[a-z]+/, 'corp')
      .split('/');
    const ask = (peer: typeof member): ReturnType<typeof router> => router({ method, segments, query: new Map(), peer });
    test(`${request} needs ${permission}`, () => {
      promptUsers.clear();
      portalUsers.clear();
      assert.equal(status(ask(root)), 'handled');
      assert.equal(status(ask(member)), permission === 'read' ? 'handled' : 403);
      assert.equal(status(ask(other)), 403);
      assert.match(warnings.at(-1)!, /user 1001 \(process 3\) was refused/);
      promptUsers.add(member.uid);
      assert.equal(status(ask(member)), permission === 'read' || permission === 'answer' ? 'handled' : 403);
      promptUsers.clear();
      portalUsers.add(member.uid);
      assert.equal(status(ask(member)), permission === 'read' || permission === 'portal' ? 'handled' : 403);
      assert.equal(status(ask(other)), 403, 'another user is none');
    });
  }

  test('what is not in the contract is not there, and says so to root as well', () => {
    for (const [method, path] of [
      ['GET', 'v1/nothing'],
      ['POST', 'v1/status'],
      ['DELETE', 'v1/profiles'],
      ['GET', 'v1/profiles/a/b'],
      ['GET', ''],
      ['PATCH', 'v1/profiles/a'],
    ] as const) {
      assert.equal(status(router({ method, segments: path.split('/'), query: new Map(), peer: root })), 404);
    }
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
