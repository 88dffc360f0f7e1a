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
const needs = { proposals, transport: 'udp' } as const;
const all: KernelPlaneSupport = { works: true, why: 'tried', suites: espSuites };
const none: KernelPlaneSupport = { works: false, why: 'making an XFRM interface: EOPNOTSUPP', suites: [] };

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
    const planes = (support: KernelPlaneSupport): { kernelSupport(): KernelPlaneSupport } => ({ kernelSupport: () => support });
    assert.equal(checkDataPlane(planes(all), ['kernel']).verdict, 'ok');
    assert.equal(checkDataPlane(planes(none), ['auto']).verdict, 'ok');
    assert.equal(checkDataPlane(planes(none), ['auto', 'kernel']).verdict, 'failed');
  });
});
