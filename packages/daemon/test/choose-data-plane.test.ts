import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { espSuites } from '@aovpn/esp';
import type { KernelPlaneSupport } from '@aovpn/host';
import { chooseDataPlane } from '../src/choose-data-plane.ts';
import { checkDataPlane } from '../src/data-plane-doctor.ts';

const proposals = [
  {
    encr: [
      { id: 20, keyBits: 256 },
      { id: 28, keyBits: 256 },
    ],
    integ: [],
    ke: [],
  },
  { encr: [{ id: 12, keyBits: 256 }], integ: [12, 13], ke: [] },
];
const needs = { proposals, transport: 'udp', besideKernel: false } as const;
const all: KernelPlaneSupport = { works: true, why: 'tried', suites: espSuites, by: 'interface', families: [4, 6] };
const none: KernelPlaneSupport = {
  works: false,
  why: 'making an XFRM interface: EOPNOTSUPP',
  suites: [],
  by: 'interface',
  families: [],
};

suite('the choice of a data plane', () => {
  test('the kernel where it can do everything', () => {
    assert.deepEqual(
      chooseDataPlane('auto', needs, () => all),
      { kind: 'kernel', why: 'tried' },
    );
  });

  test('ours where the kernel cannot, and the reason is told', () => {
    const choice = chooseDataPlane('auto', needs, () => none);
    assert.equal(choice.kind, 'userspace');
    assert.match(choice.why, /EOPNOTSUPP/);
  });

  test('ours where the kernel lacks one suite that the gateway could choose', () => {
    const withoutChaCha = { ...all, suites: espSuites.filter(({ encr }) => encr !== 28) };
    const choice = chooseDataPlane('auto', needs, () => withoutChaCha);
    assert.deepEqual([choice.kind, /28\/256\/0/.test(choice.why)], ['userspace', true]);
    const gcmOnly = [{ encr: [{ id: 20, keyBits: 128 }], integ: [], ke: [] }];
    assert.equal(chooseDataPlane('auto', { ...needs, proposals: gcmOnly }, () => withoutChaCha).kind, 'kernel');
  });

  test('without XFRM interfaces the kernel moves one tunnel; the next one is ours', () => {
    const marks = { ...all, by: 'mark' } as const;
    assert.equal(chooseDataPlane('auto', needs, () => marks).kind, 'kernel');
    const beside = chooseDataPlane('auto', { ...needs, besideKernel: true }, () => marks);
    assert.deepEqual([beside.kind, /one tunnel at a time/.test(beside.why)], ['userspace', true]);
    assert.equal(chooseDataPlane('auto', { ...needs, besideKernel: true }, () => all).kind, 'kernel');
  });

  test('ours where the kernel has no ESP in UDP over the gateway’s family', () => {
    const old = { ...all, families: [4] } as const;
    assert.equal(chooseDataPlane('auto', { ...needs, path: { family: 4, mtu: 1500 } }, () => old).kind, 'kernel');
    const six = chooseDataPlane('auto', { ...needs, path: { family: 6, mtu: 1500 } }, () => old);
    assert.deepEqual([six.kind, /IPv6/.test(six.why)], ['userspace', true]);
  });

  test('ours where the way is so narrow that the kernel would drop IPv6 packets of the least MTU', () => {
    const over = (family: 4 | 6, mtu: number | undefined, encr = proposals): string =>
      chooseDataPlane('auto', { ...needs, proposals: encr, path: { family, mtu } }, () => all).kind;
    const gcm = [proposals[0]!];
    // 20 or 40 octets of IP, 8 of UDP, 8 of ESP, 8 of IV, 16 of ICV, 2 of trailer, and 1280 + 2 are a multiple of 4 only with 2 more.
    assert.deepEqual([over(4, 1343, gcm), over(4, 1344, gcm)], ['userspace', 'kernel']);
    assert.deepEqual([over(6, 1363, gcm), over(6, 1364, gcm)], ['userspace', 'kernel']);
    assert.deepEqual([over(4, 1344), over(4, 1500), over(6, undefined)], ['userspace', 'kernel', 'kernel']);
    const { why } = chooseDataPlane('auto', { ...needs, path: { family: 4, mtu: 1300 } }, () => all);
    assert.match(why, /1300 octets/);
  });

  test('nothing is chosen before it is known what the kernel can', () => {
    assert.equal(
      chooseDataPlane('auto', needs, () => undefined),
      undefined,
    );
  });

  test('a setting decides without asking the kernel', () => {
    const never = (): never => assert.fail('asked');
    assert.equal(chooseDataPlane('kernel', needs, never).kind, 'kernel');
    assert.equal(chooseDataPlane('userspace', needs, never).kind, 'userspace');
  });

  test('never the kernel over TCP, whatever the settings say', () => {
    for (const wish of ['auto', 'kernel'] as const) {
      const choice = chooseDataPlane(wish, { ...needs, transport: 'tcp' }, () => all);
      assert.equal(choice.kind, 'userspace');
      assert.match(choice.why, /TCP/);
    }
  });

  test('doctor: a kernel without IPsec is a fault only where somebody wants it', () => {
    assert.equal(checkDataPlane(all, ['kernel']).verdict, 'ok');
    assert.equal(checkDataPlane(none, ['auto']).verdict, 'ok');
    assert.equal(checkDataPlane(none, ['auto', 'kernel']).verdict, 'failed');
  });
});
