import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import type { DataPlane, DataPlaneEvent, OuterPath } from '@aovpn/esp';
import { createEapCrypto, createIkeCrypto, HostError } from '@aovpn/host';
import { compileIkeConfig, defaultConnectionSettings, problem as problemNamed, type Problem } from '@aovpn/supervisor';
import { parseProfile } from '@aovpn/profile';
import { KeyExport } from '../src/key-export.ts';
import { Log } from '../src/log.ts';
import { problemOfError } from '../src/problem-error.ts';
import type { TunnelPorts, TunnelReport } from '../src/tunnel-port.ts';
import { Tunnel } from '../src/tunnel.ts';
import { Responder } from '../../ike/testkit/responder.ts';
import { createTestCrypto } from '../../ike/testkit/test-crypto.ts';
import { clientKey, gatewayKey } from '../../ike/testkit/world.ts';
import { noTraffic } from './no-traffic.ts';

const xml = `<VPNProfile><NativeProfile><Servers>vpn.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType>
<Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>`;
const gateway = parseAddress('192.0.2.1')!;
const path: OuterPath = { local: parseAddress('192.0.2.10')!, localPort: 40_000, remote: gateway, remotePort: 4500 };
/** A data plane that writes down what is asked of it, and fails where it is told to. */
function makePlane(fails: Partial<Record<keyof DataPlane, Error>> = {}) {
  const calls: string[] = [];
  const act = async <T>(name: keyof DataPlane, value: T): Promise<T> => {
    calls.push(name);
    await Promise.resolve();
    if (fails[name]) throw fails[name];
    return value;
  };
  const plane: DataPlane = {
    connect: () => act('connect', path),
    sendIke: () => void calls.push('sendIke'),
    openDevice: () => act('openDevice', undefined),
    setInnerAddresses: () => act('setInnerAddresses', undefined),
    installChild: () => act('installChild', undefined),
    useChild: () => act('useChild', undefined),
    removeChild: () => act('removeChild', undefined),
    stats: () => act('stats', noTraffic),
    close: () => act('close', undefined),
  };
  return { plane, calls };
}

/** @param patience milliseconds with a gateway that does not answer: more than any test takes, but for the one that is about it */
function makeTunnel(
  { plane, patience = 600_000, ...more }: { readonly plane: DataPlane; readonly patience?: number } & Partial<TunnelPorts>,
  missing?: Problem,
  needsOther?: string,
) {
  const reports: TunnelReport[] = [];
  const lines: string[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<Extract<TunnelReport, { readonly kind: 'ended' }>>();
  let tell: (event: DataPlaneEvent) => void = () => {};
  const { profile } = parseProfile(Buffer.from(xml));
  const compiled = compileIkeConfig(profile!, defaultConnectionSettings, {
    certificate: { chain: [clientKey.spki], schemes: ['ecdsa-sha256'], subject: Uint8Array.of(0x30, 0), alternativeNames: [] },
    hasPassword: false,
    gatewayAuthorities: [],
  });
  assert.ok(!('problem' in compiled));
  const unasked = (): never => assert.fail('nobody should ask for this');
  const ports: TunnelPorts = {
    crypto: { ...createEapCrypto(), ...createIkeCrypto() },
    choosePlane: () => Promise.resolve(),
    chosenPlane: () => ({ kind: 'userspace', why: '' }),
    openDataPlane: (_options, onEvent) => {
      tell = onEvent;
      return Promise.resolve(plane);
    },
    log: new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now }),
    sentCertificates: () => ({}),
    sign: unasked,
    findTicket: () => undefined,
    keepTicket: unasked,
    verifyGateway: unasked,
    renew: () => undefined,
    mustChangePlane: () => needsOther,
    prepare: () => Promise.resolve(missing),
    answerSecret: unasked,
    secretAccepted: unasked,
    secretUndecided: unasked,
    probeGateway: () => Promise.resolve(false),
    createTlsEngine: unasked,
    trace: () => {},
    keyExport: new KeyExport(),
    applyPlan: unasked,
    removePlan: unasked,
    ...more,
  };
  const tunnel = new Tunnel(
    {
      name: 'corp',
      config: { ...compiled.config, retransmit: { firstMs: patience, factor: 1, tries: 1 } },
      authentication: compiled.authentication,
      gateway,
      transport: 'udp',
      ports: { tcp: 4500, udp: 4500 },
      plane: { device: 'aov-corp', mtu: 1380, mark: 0, keepaliveSeconds: 0 },
    },
    ports,
    (report) => {
      reports.push(report);
      if (report.kind === 'ended') resolve(report);
    },
  );
  return { tunnel, reports, lines, ended, config: compiled.config, tell: (event: DataPlaneEvent) => tell(event) };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((next) => setImmediate(next));
}

suite('tunnel', () => {
  test('the device is there before the first datagram leaves', async () => {
    const fake = makePlane();
    const { tunnel, ended } = makeTunnel(fake);
    tunnel.open();
    await until(() => fake.calls.includes('sendIke'));
    assert.deepEqual(fake.calls.slice(0, 3), ['openDevice', 'connect', 'sendIke']);
    tunnel.close(false, 'test');
    await ended;
  });

  test('that the gateway has answered is told before anything else is read', async () => {
    const fake = makePlane();
    const { promise: answered, resolve } = Promise.withResolvers<readonly string[]>();
    const plane: DataPlane = {
      ...fake.plane,
      sendIke: (datagram) =>
        queueMicrotask(() => {
          const responder = new Responder(createTestCrypto(), { ikeProposals: config.ikeProposals });
          responder.receive(datagram);
          tell({ kind: 'ike', datagram: responder.take()[0]!, from: gateway, fromPort: 4500, at: performance.now() });
          resolve(reports.map(({ kind }) => kind));
        }),
    };
    const { tunnel, reports, config, tell, ended } = makeTunnel({ plane });
    tunnel.open();
    assert.deepEqual(await answered, ['answered']);
    tunnel.close(false, 'test');
    await ended;
  });

  test('the gateway hears that an old pair is gone only once nothing can be sent by it any more', async () => {
    const responder = new Responder(createTestCrypto(), {});
    const { plane, calls } = makePlane();
    const { promise: processor, resolve: give } = Promise.withResolvers<void>();
    const { tunnel, reports, tell, ended } = makeTunnel({
      patience: 60_000,
      plane: {
        ...plane,
        // A worker that has no processor for a while.
        useChild: async () => {
          await processor;
          calls.push('useChild');
        },
        sendIke: (datagram) => {
          calls.push('sendIke');
          responder.receive(datagram);
          queueMicrotask(carry);
        },
      },
      sign: (_scheme, data) => Promise.resolve(clientKey.sign(data)),
      verifyGateway: () => Promise.resolve({ accepted: true, spki: gatewayKey.spki, subject: 'CN=vpn.example', trace: [] }),
      applyPlan: () => Promise.resolve(),
      removePlan: () => Promise.resolve(),
    });
    const carry = (): void => {
      for (const datagram of responder.take())
        tell({ kind: 'ike', datagram, from: gateway, fromPort: 4500, at: performance.now() });
    };
    tunnel.open();
    await until(() => reports.some(({ kind }) => kind === 'established'));
    responder.rekeyChild([...responder.children.values()][0]!);
    carry();
    await until(() => responder.heard.length >= 3);
    calls.length = 0;
    for (let turn = 0; turn < 50; turn++) await new Promise((next) => setImmediate(next));
    assert.equal(responder.children.size, 2, 'the Delete is not answered yet');
    assert.deepEqual(calls, []);
    give();
    await until(() => responder.children.size === 1);
    assert.deepEqual(calls, ['useChild', 'sendIke']);
    tunnel.close(false, 'test');
    await ended;
  });

  test('what only a person can give is missing: nothing is opened, nothing is sent', async () => {
    const fake = makePlane();
    const { tunnel, ended } = makeTunnel(fake, problemNamed('noPassword', 'nobody is there'));
    tunnel.open();
    const { problem } = await ended;
    assert.equal(problem?.code, 'AOV-SUPERVISOR-342');
    assert.deepEqual(fake.calls, []);
  });

  test('a silent gateway ends it with the problem, once, after the plane is closed', async () => {
    const fake = makePlane();
    const { tunnel, reports, ended } = makeTunnel({ ...fake, patience: 1 });
    tunnel.open();
    assert.equal((await ended).problem?.code, 'AOV-IKE-101');
    assert.equal(fake.calls.at(-1), 'close');
    tunnel.close(true, 'late');
    tunnel.checkLiveness();
    await tunnel.move();
    assert.deepEqual(
      reports.map(({ kind }) => kind),
      ['ending', 'ended'],
    );
  });

  test('where its data plane cannot go on, it does not move there: it must be made anew', async () => {
    const fake = makePlane();
    const { tunnel, reports, lines, ended } = makeTunnel(fake, undefined, 'the way is narrow');
    tunnel.open();
    await until(() => fake.calls.includes('sendIke'));
    await tunnel.move();
    assert.deepEqual(
      [reports.map(({ kind }) => kind), fake.calls.filter((call) => call === 'connect').length],
      [['cannot-move'], 1],
    );
    assert.ok(lines.some((line) => line.includes('the way is narrow')));
    tunnel.close(false, 'test');
    await ended;
  });

  test("a machine without TUN fails before anything is sent, with the host's own code and cure", async () => {
    const fake = makePlane({ openDevice: new HostError('AOV-HOST-200', 'no TUN', 'modprobe tun') });
    const { tunnel, ended } = makeTunnel(fake);
    tunnel.open();
    const { problem } = await ended;
    assert.deepEqual([problem?.code, problem?.side, problem?.cure], ['AOV-HOST-200', 'host', 'modprobe tun']);
    assert.deepEqual(fake.calls, ['openDevice', 'close']);
  });

  test('no route to the gateway is a matter of the network', async () => {
    const fake = makePlane({ connect: new HostError('AOV-HOST-205', 'no route', 'look') });
    const { tunnel, ended } = makeTunnel(fake);
    tunnel.open();
    const { problem } = await ended;
    assert.deepEqual([problem?.code, problem?.side, problem?.retry], ['AOV-HOST-205', 'network', 'soon']);
  });

  test('closed before it was open: the plane is closed all the same, and no problem is told', async () => {
    const fake = makePlane();
    const { tunnel, ended } = makeTunnel(fake);
    tunnel.open();
    while (!fake.calls.includes('openDevice')) await Promise.resolve();
    tunnel.close(true, 'a person said down');
    assert.equal((await ended).problem, undefined);
    await until(() => fake.calls.includes('close'));
    assert.ok(!fake.calls.includes('sendIke'));
  });

  test('closed while a person is being asked: nothing is opened at all', async () => {
    const fake = makePlane();
    const { tunnel, ended } = makeTunnel(fake);
    tunnel.open();
    tunnel.close(true, 'a person said down');
    assert.equal((await ended).problem, undefined);
    await new Promise((next) => void setImmediate(next));
    assert.deepEqual(fake.calls, []);
  });

  test('closed while the kernel is being asked what it can: nothing is opened', async () => {
    const fake = makePlane();
    const { promise: chosen, resolve } = Promise.withResolvers<void>();
    const { tunnel, ended } = makeTunnel({ ...fake, choosePlane: () => chosen });
    tunnel.open();
    await new Promise((next) => void setImmediate(next));
    tunnel.close(true, 'a person said down');
    assert.equal((await ended).problem, undefined);
    resolve();
    await new Promise((next) => void setImmediate(next));
    assert.deepEqual(fake.calls, []);
  });

  test('a plane that cannot go on ends it', async () => {
    const fake = makePlane();
    const { tunnel, ended, tell } = makeTunnel(fake);
    tunnel.open();
    await until(() => fake.calls.includes('sendIke'));
    tell({ kind: 'fatal', code: 'AOV-HOST-204', what: 'the device is gone' });
    assert.equal((await ended).problem?.code, 'AOV-HOST-204');
  });

  test('octets from anywhere do not end it; path errors before it is up ask nobody', async () => {
    const fake = makePlane();
    const { tunnel, reports, ended, tell } = makeTunnel(fake);
    tunnel.open();
    await until(() => fake.calls.includes('sendIke'));
    for (const datagram of [new Uint8Array(), new Uint8Array(28), new Uint8Array(2000).fill(255)]) {
      tell({ kind: 'ike', datagram, from: gateway, fromPort: 4500, at: performance.now() });
    }
    tell({ kind: 'path-error', code: 'ECONNREFUSED' });
    assert.deepEqual(reports, []);
    tunnel.close(false, 'test');
    await ended;
  });
});

suite('errors as problems', () => {
  test('what has no code is ours', () => {
    assert.equal(problemOfError(new Error('x')).code, 'AOV-SUPERVISOR-304');
    assert.equal(problemOfError('x').message.endsWith(': x'), true);
  });
});
