// Who may do what at the control socket: every cell of the table in docs/control-socket.md, asked of a daemon by real users, without polkit and with a real one.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { defaultSocketPath, type DaemonStatus } from '@aovpn/api';
import { inCheckout } from '../../../lab/host.ts';
import { installed, repository } from '../../../lab/product.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { inUnpacked } from '../../../lab/unpacked.ts';
import { until } from '../../../lab/until.ts';

const groups = { group: 4242, admin: 4243 } as const;
const people = {
  root: { uid: 0, gid: 0 },
  admin: { uid: 64_301, gid: 64_301, group: groups.admin },
  group: { uid: 64_302, gid: 64_302, group: groups.group },
  named: { uid: 64_303, gid: 64_303 },
  owner: { uid: 64_305, gid: 64_305 },
  anybody: { uid: 64_304, gid: 64_304 },
} as const;
type Person = keyof typeof people;

const node = inCheckout(process.execPath);
const aovpn = installed('aovpn').map(inCheckout);
const as = (person: Person): string[] => {
  const { uid, gid, ...more } = people[person];
  const belongs = 'group' in more ? [`--groups=${more.group}`] : ['--clear-groups'];
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...belongs, '--'];
};

/** The rows of the table: a request, and the cell of each column. */
function documented(): {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly [string, Record<string, string>])[];
} {
  const [, table] = readFileSync(repository('docs/control-socket.md'), 'utf8').split(
    '<!-- from the code: node scripts/docs.ts -->',
  );
  const lines = table!
    .trim()
    .split('\n')
    .map((line) => line.slice(2, -2).split(' | '));
  const [, ...columns] = lines[0]!;
  const rows = lines
    .slice(2)
    .map(([request, ...cells]): readonly [string, Record<string, string>] => [
      request!.replaceAll('`', ''),
      Object.fromEntries(cells.map((cell, i) => [columns[i]!, cell])),
    ]);
  return { columns, rows };
}

/** Asks for all of it on connections of its own, one after the other, and prints the states and codes. Nothing there is harmful when it is allowed: there is no such profile. */
const asker = `
const requests = JSON.parse(process.argv[1]);
const { request } = require('node:http');
const one = (line) => new Promise((resolve) => {
  const [method, path] = line.split(' ');
  const name = process.argv[2];
  const target = path.replace(':name', name).replace(':id', 'nowhere') + (/doctor|certificates|secrets|logs|trace/.test(path) ? '?connection=' + name : '');
  const sent = request({ socketPath: '${defaultSocketPath}', method, path: target, agent: false }, (response) => {
    let text = '';
    response.on('error', () => {});
    if (response.statusCode === 200) return response.destroy(), resolve([200, '']);
    response.on('data', (chunk) => (text += chunk));
    response.on('end', () => resolve([response.statusCode, JSON.parse(text).error.code]));
  });
  sent.on('error', (error) => resolve([0, error.code]));
  sent.end();
});
(async () => { const all = []; for (const line of requests) all.push(await one(line)); console.log(JSON.stringify(all)); })();`;

suite('main/access', () => {
  let stage: Stage;
  const { columns, rows } = documented();
  const requests = rows.map(([request]) => request);

  before(async () => {
    stage = await Stage.set();
    const { client } = stage.world;
    appendFileSync(client.file('/etc/group'), `aovpn:x:${groups.group}:\nvpn-admin:x:${groups.admin}:\n`);
    for (const person of ['admin', 'group', 'named', 'owner', 'anybody'] as const)
      appendFileSync(
        client.file('/etc/passwd'),
        `${person}:x:${people[person].uid}:${people[person].gid}::/nonexistent:/bin/false\n`,
      );
    await stage.product.settings(
      '[daemon]\nadmin-group = "vpn-admin"\nprompt-users = ["named"]\nallow-key-export = true\n\n[portal]\nusers = ["named"]\n',
    );
    await stage.product.put('tunnel', certificateProfile({ alwaysOn: false }), stage.machine());
    client.write('/etc/aovpn/users.d/owner/corp.xml', certificateProfile({ alwaysOn: false }));
    const signedIn = await stage.product.aovpn(['session', 'open', 'owner']);
    assert.equal(signedIn.status, 0, signedIn.stderr);
    await stage.product.waitFor('owner/corp', 'there', () => true);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** On a connection of that name, or on none. */
  async function answersTo(person: Person, name: string): Promise<ReadonlyMap<string, readonly [number, string]>> {
    const argv = [...as(person), node, '-e', asker, JSON.stringify(requests), encodeURIComponent(name)];
    const said = await stage.world.client.exec(argv);
    const answers = JSON.parse(said) as [number, string][];
    return new Map(requests.map((request, i) => [request, answers[i]!]));
  }

  /** Of a cell: whether it is done; a cell of polkit as `polkit` says. */
  async function compare(person: Person, polkit: (request: string) => boolean): Promise<void> {
    const answers = await answersTo(person, person === 'owner' ? 'owner/corp' : 'nowhere');
    for (const [request, cells] of rows) {
      const cell = cells[person]!;
      const wanted = cell === 'yes' || cell === 'own' || (cell === 'polkit' && polkit(request));
      const [status, code] = answers.get(request)!;
      const refused = status === 403;
      assert.notEqual(status, 0, `${person}: ${request}: ${code}`);
      assert.equal(!refused, wanted, `${person}: ${request} is "${cell}", and the daemon says ${status} ${code}`);
    }
  }

  test('the table has every column that there are users for', () => {
    assert.deepEqual([...columns].sort(), Object.keys(people).sort());
    assert.ok(rows.length > 20);
  });

  for (const person of Object.keys(people) as Person[]) {
    test(`${person}: every cell, without polkit`, async () => await compare(person, () => false));
  }

  test('an owner sees what is theirs alone, has no more than anybody in what is others’, and nobody else has a part of it', async () => {
    const status = await stage.world.client.exec([...as('owner'), ...aovpn, 'status', '--json']);
    const { connections, profiles } = JSON.parse(status) as DaemonStatus;
    assert.deepEqual(
      [connections, profiles].map((list) => list.map(({ name }) => name)),
      [['owner/corp'], ['owner/corp']],
    );
    for (const [person, name] of [
      ['owner', 'tunnel'],
      ['named', 'owner/corp'],
      ['anybody', 'owner/corp'],
    ] as const) {
      const answers = await answersTo(person, name);
      for (const [request, cells] of rows) {
        if (/:name|doctor|certificates|logs|trace/.test(request))
          assert.equal(answers.get(request)![0] !== 403, cells['anybody'] === 'yes', `${person}: ${request}`);
      }
    }
  });

  test('an administrator puts a connection up and down, a member of the group does not', async () => {
    const { client } = stage.world;
    const ask = async (person: Person, ...args: readonly string[]): Promise<number | null> =>
      (await client.run([...as(person), ...aovpn, ...args])).status;
    assert.equal(await ask('group', 'up', 'tunnel'), 4);
    assert.equal(await ask('admin', 'up', 'tunnel'), 0);
    assert.equal((await stage.product.connection('tunnel'))?.state, 'up');
    assert.equal(await ask('anybody', 'down', 'tunnel'), 4);
    assert.equal(await ask('admin', 'profile', 'remove', 'tunnel'), 4);
    assert.equal(await ask('admin', 'down', 'tunnel'), 0);
    assert.match(stage.product.daemon.output(), /put down by user 64301 \(admin\)/);
  });

  const polkitd = inUnpacked('polkitd', 'usr/lib/polkit-1/polkitd');
  suite('with polkit', () => {
    const rules = '/etc/polkit-1/rules.d/50-test.rules';
    before(async () => {
      const { client } = stage.world;
      for (const directory of ['/run/dbus', '/run/actions', '/etc/polkit-1/rules.d', '/var/lib/polkit-1'])
        mkdirSync(client.file(directory), { recursive: true });
      // Whom it becomes; whoever installs it has that user.
      const passwd = client.file('/etc/passwd');
      if (!/^polkitd:/m.test(readFileSync(passwd, 'utf8'))) {
        appendFileSync(passwd, 'polkitd:x:64310:64310::/nonexistent:/bin/false\n');
        appendFileSync(client.file('/etc/group'), 'polkitd:x:64310:\n');
      }
      client.write('/run/actions/org.aovpn.policy', readFileSync(repository('packages/daemon/polkit/org.aovpn.policy')));
      await client.exec(['mount', '--bind', '/run/actions', '/usr/share/polkit-1/actions']);
      client.write(rules, rule('false'));
      const types = ['send_type', 'receive_type'].flatMap((way) =>
        ['method_call', 'signal', 'method_return', 'error'].map((type) => `<allow ${way}="${type}"/>`),
      );
      client.write(
        '/run/bus.conf',
        `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><policy context="default"><allow user="*"/><deny own="*"/>${types.join('')}</policy><policy user="root"><allow own="*"/></policy><policy user="polkitd"><allow own="org.freedesktop.PolicyKit1"/></policy></busconfig>`,
      );
      const bus = client.spawn(['dbus-daemon', '--config-file=/run/bus.conf', '--nofork', '--print-address=1'], { name: 'bus' });
      await bus.saysWithin(/unix:path/);
    });

    const rule = (condition: string): string =>
      `polkit.addRule(function(action, subject) { if (action.id.indexOf("org.aovpn.") === 0) return ${condition} ? polkit.Result.YES : polkit.Result.NO; });\n`;

    /** A polkitd with this rule. */
    async function polkit(text: string): Promise<AsyncDisposable> {
      const { client } = stage.world;
      client.write(rules, text);
      const running = client.spawn([polkitd], { name: 'polkitd' });
      const owner = ['busctl', 'call', ...bus, 'GetNameOwner', 's', 'org.freedesktop.PolicyKit1'];
      await until(
        () => `polkitd is there:\n${running.output()}`,
        async () => (await client.run(owner)).status === 0,
      );
      return { [Symbol.asyncDispose]: async () => void (await running.stop('SIGTERM')) };
    }
    const bus = ['org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus'];

    test('our actions are installed but nobody answers: the table alone', async () => await compare('group', () => false));

    test('a rule adds what the table leaves to it, to whom it names, and nothing else', async () => {
      await using _ = await polkit(rule('action.id === "org.aovpn.control" && subject.user === "anybody"'));
      const isControl = (request: string): boolean => request.includes('/connections/');
      await compare('anybody', isControl);
      await compare('group', () => false);
      await compare('named', () => false);
    });

    test('a rule that allows everything gives nobody a "no" of the table, and one that forbids everything takes nothing away', async () => {
      {
        await using _ = await polkit(rule('true'));
        for (const person of ['admin', 'group', 'anybody'] as const) await compare(person, () => true);
      }
      await using _ = await polkit(rule('false'));
      for (const person of ['root', 'admin'] as const) await compare(person, () => false);
    });

    test('without a rule it would ask for a password; where it cannot, the refusal says so', async () => {
      await using _ = await polkit('');
      const said = await stage.world.client.run([...as('group'), ...aovpn, 'up', 'tunnel']);
      assert.equal(said.status, 4, said.stderr);
      assert.match(said.stderr, /polkit wants a password[^]*AOV-DAEMON-554[^]*pkttyagent/);
    });
  });
});
