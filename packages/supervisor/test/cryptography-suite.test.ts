import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { CryptographySuite } from '@aovpn/profile';
import { compileProposals } from '../src/compile-proposals.ts';
import { suiteOf } from './profile-sample.ts';

/*
 * Every value of every element of CryptographySuite with every value of every other: 75 264 suites, against a table of its own
 * (VPNv2 CSP; IANA "IKEv2 Parameters"). `w`: weak, `x`: never.
 */
const ike = {
  DES: 'x',
  DES3: 'w3/192',
  AES128: '12/128',
  AES192: '12/192',
  AES256: '12/256',
  AES_GCM_128: '20/128',
  AES_GCM_256: '20/256',
};
const integrity = { MD5: 'x', SHA196: 'w2/2', SHA256: '5/12', SHA384: '6/13' };
const group = { None: 'x', Group1: 'x', Group2: 'w2', Group14: '14', ECP256: '19', ECP384: '20', Group24: 'w24' };
const esp = {
  DES: 'x',
  DES3: 'w3/192',
  AES128: '12/128',
  AES192: '12/192',
  AES256: '12/256',
  GCMAES128: '20/128',
  GCMAES192: '20/192',
  GCMAES256: '20/256',
};
const authentication = {
  MD596: 'x',
  SHA196: 'w2',
  SHA256128: '12',
  GCMAES128: '20/128',
  GCMAES192: '20/192',
  GCMAES256: '20/256',
};
const pfs = { None: '', PFS1: 'x', PFS2: 'w2', PFS2048: '14', ECP256: '19', ECP384: '20', PFSMM: 'ike', PFS24: 'w24' };

const keys = <T extends object>(table: T): (keyof T)[] => Object.keys(table) as (keyof T)[];
const plain = (word: string): string => word.replace(/^w/, '');

/** What must come of it: a code, or proposals as text. */
function expected(words: Record<string, string>, allowWeak: boolean): string {
  const [cipher, hash, dh, espCipher, espAuth, secrecy] = Object.values(words);
  // With an AEAD cipher the hash is the PRF alone, and SHA-1 is good enough for that.
  const hashWord = cipher!.startsWith('20') && hash === 'w2/2' ? '2/2' : hash!;
  for (const word of [cipher!, hashWord, dh!, espCipher!, espAuth!, secrecy!]) {
    if (word === 'x') return 'AOV-SUPERVISOR-321';
    if (word.startsWith('w') && !allowWeak) return 'AOV-SUPERVISOR-320';
  }
  if (espCipher!.startsWith('20') ? espAuth !== espCipher : espAuth!.startsWith('20')) return 'AOV-SUPERVISOR-322';
  const [prf, integ] = plain(hashWord).split('/');
  const ikeText = `${plain(cipher!)} ${cipher!.startsWith('20') ? '' : integ} ${prf} ${plain(dh!)}`;
  return `${ikeText}; ${plain(espCipher!)} ${espCipher!.startsWith('20') ? '' : plain(espAuth!)} ${plain(secrecy!)}`;
}

function actual(written: CryptographySuite, allowWeak: boolean): string {
  const proposals = compileProposals(written, { allowWeak, postQuantum: 'offer' });
  if ('problem' in proposals) return proposals.problem.code;
  assert.equal(proposals.ike.length + proposals.child.length, 2, 'exactly what is written');
  const [first] = proposals.ike;
  const [child] = proposals.child;
  const cipherText = ({ encr }: { readonly encr: readonly { readonly id: number; readonly keyBits: number }[] }): string =>
    encr.map(({ id, keyBits }) => `${id}/${keyBits}`).join();
  const secrecy = child!.ke === 'ike' ? 'ike' : child!.ke.join();
  return `${cipherText(first!)} ${first!.integ.join()} ${first!.prf.join()} ${first!.ke.join()}; ${cipherText(child!)} ${child!.integ.join()} ${secrecy}`;
}

suite('every CryptographySuite that can be written', () => {
  for (const allowWeak of [false, true]) {
    test(allowWeak ? 'with allow-weak' : 'without', () => {
      let count = 0;
      for (const encryptionMethod of keys(ike))
        for (const integrityCheckMethod of keys(integrity))
          for (const dhGroup of keys(group))
            for (const cipherTransformConstants of keys(esp))
              for (const authenticationTransformConstants of keys(authentication))
                for (const pfsGroup of keys(pfs)) {
                  const written = suiteOf({
                    encryptionMethod,
                    integrityCheckMethod,
                    dhGroup,
                    cipherTransformConstants,
                    authenticationTransformConstants,
                    pfsGroup,
                  });
                  const words = {
                    cipher: ike[encryptionMethod],
                    hash: integrity[integrityCheckMethod],
                    dh: group[dhGroup],
                    espCipher: esp[cipherTransformConstants],
                    espAuth: authentication[authenticationTransformConstants],
                    secrecy: pfs[pfsGroup],
                  };
                  const wanted = expected(words, allowWeak);
                  if (actual(written, allowWeak) !== wanted)
                    assert.equal(actual(written, allowWeak), wanted, JSON.stringify(words));
                  count++;
                }
      assert.equal(count, 75_264);
    });
  }
});
