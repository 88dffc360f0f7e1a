import path from 'node:path';
import { formatAddress } from '@aovpn/bytes';
import type { BeaconQuestion, BeaconResult, Credential, NetworkFacts } from '@aovpn/host';
import { decideTrustedNetwork, wantsBeacon, type BeaconAnswer, type Intent, type TrustVerdict } from '@aovpn/policy';
import type { Log } from './log.ts';
import type { ResolveAnswer } from './resolve-gateway.ts';
import { readOwn } from './own-file.ts';
import type { ProfileSettings } from './profile-settings.ts';

/** For the whole of a beacon's proof, milliseconds: connecting waits for it. */
const patience = 4_000;
/** A beacon that did not prove itself where it should be is asked again after this long, milliseconds. */
const again = 60_000;
const maxAddresses = 4;

export interface TrustedNetworksOptions {
  readonly configDir: string;
  /** What the network was when it was last looked at. */
  readonly facts: () => NetworkFacts | undefined;
  readonly intents: () => ReadonlyMap<string, Intent>;
  readonly settings: (name: string) => ProfileSettings;
  /** What this machine shows a beacon that asks for it; undefined: it has none, or it cannot be used. */
  readonly credential: (name: string) => Credential | undefined;
  /** By the machine's own name servers, outside every tunnel. */
  readonly resolve: (host: string) => Promise<ResolveAnswer>;
  readonly askBeacon: (question: BeaconQuestion) => Promise<BeaconResult>;
  readonly mark: number;
  readonly say: (verdicts: ReadonlyMap<string, TrustVerdict>) => void;
  readonly log: Log;
}

/** What a beacon said, in one network. */
interface Asked {
  /** Network and settings that it was asked for. */
  readonly key: string;
  answer: BeaconAnswer;
}

/** Tells for every profile whether the network of the machine is trusted, and asks beacons where names are not enough. */
export class TrustedNetworks {
  readonly #options: TrustedNetworksOptions;
  readonly #asked = new Map<string, Asked>();
  #verdicts: ReadonlyMap<string, TrustVerdict> = new Map();
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: TrustedNetworksOptions) {
    this.#options = options;
  }

  /** The verdict of now. */
  of(name: string): TrustVerdict | undefined {
    return this.#verdicts.get(name);
  }

  /** Decides anew: the network, a profile or a setting may have changed. What a beacon has to say follows. */
  judge(): void {
    const { facts, intents, settings, say } = this.#options;
    const now = facts();
    if (!now || this.#closed) return;
    const verdicts = new Map<string, TrustVerdict>();
    const profiles = intents();
    for (const name of this.#asked.keys()) if (!profiles.has(name)) this.#asked.delete(name);
    for (const [name, intent] of profiles) {
      const { suffixes } = now;
      const beacon = this.#beacon(name, intent, settings(name), now);
      if (intent.trustedNetworks.length === 0 && !beacon) continue;
      verdicts.set(name, decideTrustedNetwork({ intent, suffixes, ...(beacon && { beacon }) }));
    }
    this.#verdicts = verdicts;
    say(verdicts);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
  }

  #beacon(name: string, intent: Intent, settings: ProfileSettings, facts: NetworkFacts): BeaconAnswer | undefined {
    const { trustedBeacon } = settings;
    if (!trustedBeacon || intent.lockdown) return undefined;
    if (!wantsBeacon({ intent, suffixes: facts.suffixes })) {
      this.#asked.delete(name);
      return { kind: 'refuted', what: 'the beacon is not asked where no suffix fits' };
    }
    const key = JSON.stringify([
      facts.addresses.map(({ device, prefix }) => `${device} ${formatAddress(prefix.address)}`).sort(),
      facts.defaultRoutes.map(({ device, gateway }) => `${device} ${gateway ? formatAddress(gateway) : ''}`).sort(),
      facts.suffixes.map(({ device, suffix }) => `${device} ${suffix}`).sort(),
      [trustedBeacon, settings.trustedBeaconPins, settings.trustedBeaconCa],
      settings.trustedBeaconCertificate ? (this.#options.credential(name)?.id ?? '') : undefined,
    ]);
    const known = this.#asked.get(name);
    if (known?.key === key) return known.answer;
    const asked: Asked = { key, answer: { kind: 'asking' } };
    this.#asked.set(name, asked);
    void this.#ask(name, settings, asked);
    return asked.answer;
  }

  async #ask(name: string, settings: ProfileSettings, asked: Asked): Promise<void> {
    const where = settings.trustedBeacon!;
    const label = `the beacon ${where.host}`;
    let answer: BeaconAnswer;
    try {
      const result = await this.#prove(name, settings);
      answer = result.proven
        ? { kind: 'proven', what: `${label} has proven itself` }
        : { kind: 'refuted', what: `${label} has not proven itself: ${result.why}` };
    } catch (error) {
      answer = { kind: 'refuted', what: `${label} cannot be asked: ${(error as Error).message}` };
    }
    if (this.#closed || this.#asked.get(name) !== asked) return;
    const changed = JSON.stringify(answer) !== JSON.stringify(asked.answer);
    asked.answer = answer;
    if (answer.kind === 'refuted') this.#askAgain();
    if (!changed) return;
    this.#options.log.info(`${name}: ${answer.what}`);
    this.judge();
  }

  /** A beacon may have been down for a moment; nothing waits for this one. */
  #askAgain(): void {
    this.#again ??= setTimeout(() => {
      this.#again = undefined;
      for (const [name, asked] of this.#asked)
        if (asked.answer.kind === 'refuted') void this.#ask(name, this.#options.settings(name), asked);
    }, again);
  }

  /** A handshake cannot wait for a PIN; whoever is asked for it now is asked in vain for this time. @throws when there is none */
  async #unlocked(profile: string, end: number): Promise<Credential> {
    const credential = this.#options.credential(profile);
    if (!credential) throw new Error('it asks for our certificate, and there is none');
    const ready = await soon(
      end,
      credential.unlock().then(() => true),
      false,
    );
    if (!ready) throw new Error('the token with our certificate is not unlocked in time');
    return credential;
  }

  async #prove(profile: string, settings: ProfileSettings): Promise<BeaconResult> {
    const { configDir, resolve, askBeacon, mark } = this.#options;
    const { host, port } = settings.trustedBeacon!;
    const end = performance.now() + patience;
    const proof = settings.trustedBeaconCa
      ? ({ kind: 'authorities', pem: await readOwn(path.resolve(configDir, settings.trustedBeaconCa)) } as const)
      : ({ kind: 'pins', pins: settings.trustedBeaconPins ?? [] } as const);
    const credential = settings.trustedBeaconCertificate ? await this.#unlocked(profile, end) : undefined;
    const { addresses, why } = await soon(end, resolve(host), { addresses: [], why: 'its name is not resolved in time' });
    const left = Math.max(1, end - performance.now());
    const results = await Promise.all(
      addresses
        .slice(0, maxAddresses)
        .map((address) =>
          askBeacon({ address, port, name: host, proof, mark, timeoutMs: left, ...(credential && { credential }) }),
        ),
    );
    return (
      results.find(({ proven }) => proven) ??
      results[0] ?? { proven: false, why: why ?? 'its name has no address in this network' }
    );
  }
}

/** `otherwise` when it takes longer than until `end`, of the monotonic clock. */
async function soon<T>(end: number, promise: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((done) => (timer = setTimeout(() => done(otherwise), end - performance.now())));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
