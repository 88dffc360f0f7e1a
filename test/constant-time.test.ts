import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../packages/', import.meta.url));

/** Ways to compare octets, or texts of them, that stop at the first difference, or that are not the one that everybody uses. */
const ways: readonly { readonly what: string; readonly pattern: RegExp; readonly samples: readonly string[] }[] = [
  {
    what: 'a comparison of Buffers',
    pattern: /\.equals\(|\bBuffer\.compare\(|\btimingSafeEqual\b|\.compare\(/,
    samples: ['if (mac.equals(expected)) return;', 'Buffer.compare(a, b) === 0', 'timingSafeEqual(a, b)'],
  },
  {
    what: 'octets compared one by one',
    pattern: /\.(?:every|some)\(\((\w+), (\w+)\) => \1 [!=]==? [\w.!]+\[\2\]/,
    samples: ['icv.every((octet, i) => octet === wanted[i])', 'a.some((o, at) => o !== b[at]!)'],
  },
  {
    what: 'octets compared as text',
    pattern: new RegExp(
      [
        String.raw`(?:toHex\([^()]*\)|\.digest\('\w+'\)|\.toString\('(?:hex|base64|base64url|latin1|binary)'\)) [!=]==? `,
        String.raw`[!=]==? (?:toHex\(|[\w.()']*\.digest\(|[\w.()']*\.toString\('(?:hex|base64|base64url|latin1|binary)'\))`,
      ].join('|'),
    ),
    samples: ['toHex(a) === toHex(b)', "hash.digest('hex') !== told", "told === mac.toString('hex')", "x === hash.digest('hex')"],
  },
  {
    what: 'a secret, digest or proof compared as a value',
    pattern: new RegExp(
      String.raw`\b\w*(?:secret|password|passphrase|token|digest|fingerprint|thumbprint|sha1|sha256|authenticator|challenge|cookie|nonce|\bmac|\bicv|Mac|Icv)s?\)? [!=]==? (?!undefined|null|true|false|typeof|\d|['"\`])[\w.]`,
    ),
    samples: ['given.secret === kept.secret', 'if (sha256 !== found) return;', 'authenticator === expected', 'mac == other'],
  },
  {
    what: 'a search among pins',
    pattern: /\b\w*(?:pin|digest|fingerprint|thumbprint|secret|token)s\)?\.(?:includes|indexOf|has)\(/i,
    samples: ['proof.pins.includes(found)', 'digests.has(one)'],
  },
];

/** Lines that look like one and are none, each with the reason. */
const harmless: Readonly<Record<string, string>> = {
  'daemon/src/candidate-store.ts: if (!force && before?.digest === digest) return undefined;': 'of files of this machine, both',
  'daemon/src/candidate-store.ts: if (before && before.digest !== digest) kept.sessions.clear();':
    'of files of this machine, both',
  'daemon/src/profile-store.ts: const same = before?.inForce?.digest === digest;': 'of files of this machine, both',
  'daemon/src/profile-store.ts: const replaces = before !== undefined && before.digest !== digest && !this.#options.review(name, before.profile);':
    'of files of this machine, both',
  'host/src/user-files/reader.ts: if (digest === told) return;': 'of what is told of the files of a user, both',
  'daemon/src/settings-fault.ts: a.length === b.length && a.every((word, i) => word === b[i]);': 'words of a settings file',
  'host/src/enrol/cms.ts: const body = Buffer.concat(signed.toSorted((a, b) => Buffer.compare(a, b)));':
    'the order of a DER SET OF (X.690 §11.6)',
  'host/src/keys/pkcs11/token-source.ts: if (this.#source.token === undefined || this.#source.token === info.label) names.push(info);':
    'the label of a token',
  'host/src/trust/certification-path.ts: if (known.some((other) => other.length === path.length && other.every((certificate, i) => certificate === path[i])))':
    'the same objects',
  "supervisor/src/step-attempt.ts: else if (phase.afterwards.kind === 'next' && phase.afterwards.fingerprint === turn.network.fingerprint)":
    'what a network is known by',
  'supervisor/src/step-circumstance.ts: if (before.fingerprint === network.fingerprint && before.v4 === network.v4 && before.v6 === network.v6) return;':
    'what a network is known by',
};

/** Lines of the product that compare so, without comments. */
function found(): Map<string, string> {
  const lines = new Map<string, string>();
  for (const file of readdirSync(packages, { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (!/^[^/]+\/src\/.*\.ts$/.test(file)) continue;
    for (const [at, line] of readFileSync(path.join(packages, file), 'utf8').split('\n').entries()) {
      const code = line.replace(/^\s*(?:\/?\*|\/\/).*|\s\/\/ .*$/, '').trim();
      const way = ways.find(({ pattern }) => pattern.test(code));
      if (way) lines.set(`${file}: ${code}`, `packages/${file}:${at + 1}: ${way.what}`);
    }
  }
  return lines;
}

// Timing-safe comparison: AUTH, ICVs, cookies, tokens, authenticators, pins and digests alike.
suite('octets are compared in constant time', () => {
  test('by `equal` of @aovpn/bytes, and by nothing else', () => {
    const others = [...found()].filter(([line]) => !Object.hasOwn(harmless, line));
    assert.deepEqual(others, [], 'compare by equal(), or say in this test why it is harmless');
  });

  test('what is said to be harmless is there', () => {
    const lines = found();
    assert.deepEqual(
      Object.keys(harmless).filter((line) => !lines.has(line)),
      [],
    );
  });

  for (const { what, pattern, samples } of ways)
    test(`${what} would be seen`, () => {
      for (const sample of samples) assert.match(sample, pattern);
    });

  test('`equal` looks at every octet, whatever the first one is', () => {
    const source = readFileSync(path.join(packages, 'bytes/src/octets.ts'), 'utf8');
    const body = /export function equal\([^]*?\n}/.exec(source)![0];
    assert.match(body, /difference \|= a\[i\]! \^ b\[i\]!/);
    assert.doesNotMatch(body.slice(body.indexOf('for (')), /\bif\b|\bbreak\b|every|return (?!difference === 0)/);
  });
});
