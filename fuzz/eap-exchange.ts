import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { concat, encodeUtf8, fromHex, Writer } from '@aovpn/bytes';
import type { EapAction, EapEvent, EapMethodConfig, EapPeerConfig, TlsChannel } from '@aovpn/eap';

/** What the server of a conversation says, oldest first. */
export type Step =
  /** A whole EAP packet. */
  | { readonly kind: 'eap'; readonly octets: Uint8Array }
  /** TLS of the method: Start, a flight of the handshake (it completes the play TLS), tickets, application data. */
  | { readonly kind: 'start' }
  | { readonly kind: 'handshake' | 'ticket' | 'data'; readonly octets: Uint8Array }
  | { readonly kind: 'success' | 'failure' };

export interface Exchange {
  readonly name: string;
  readonly config: keyof typeof configs;
  readonly version: '1.2' | '1.3';
  readonly steps: readonly Step[];
  /** How it ends when nobody has changed it: `succeeded`, or the kind of the failure. */
  readonly ends: string;
}

const trust = { validate: true, serverNames: ['nps.example.com'], trustedRoots: [] };
const userName = 'User';
const identity = 'inner-User';
const inner = {
  mschapv2: { identity, method: { kind: 'mschapv2', userName } },
  gtc: { identity, method: { kind: 'gtc', userName } },
  tls: { identity, method: { kind: 'tls', trust } },
} as const;

function peap(method: keyof typeof inner, requireCryptoBinding: boolean): EapMethodConfig {
  return { kind: 'peap', trust, requireCryptoBinding, fastReconnect: true, inner: inner[method] };
}

/** Every method with everything that it carries. */
export const configs = {
  mschapv2: { kind: 'mschapv2', userName },
  tls: { kind: 'tls', trust },
  'peap-mschapv2': peap('mschapv2', true),
  'peap-tls': peap('tls', true),
  'peap-gtc': peap('gtc', true),
  'peap-unbound-mschapv2': peap('mschapv2', false),
  'ttls-pap': { kind: 'ttls', trust, inner: { kind: 'pap', userName } },
  'ttls-chap': { kind: 'ttls', trust, inner: { kind: 'chap', userName } },
  'ttls-mschap': { kind: 'ttls', trust, inner: { kind: 'mschap', userName } },
  'ttls-mschapv2': { kind: 'ttls', trust, inner: { kind: 'mschapv2', userName } },
  'ttls-eap-mschapv2': { kind: 'ttls', trust, inner: { kind: 'eap', ...inner.mschapv2 } },
  'ttls-eap-gtc': { kind: 'ttls', trust, inner: { kind: 'eap', ...inner.gtc } },
  'ttls-eap-tls': { kind: 'ttls', trust, inner: { kind: 'eap', ...inner.tls } },
} as const satisfies Readonly<Record<string, EapMethodConfig>>;

export function peerConfig(config: keyof typeof configs): EapPeerConfig {
  return { identity: 'anonymous', method: configs[config] };
}

/** EAP type of the outer method. */
export const outerTypes = { mschapv2: 26, tls: 13, peap: 25, ttls: 21 } as const satisfies Record<
  EapMethodConfig['kind'],
  number
>;

/** The server must prove inside that it knows the password, or that it is the one who was inside. */
export function needsProof(config: keyof typeof configs): boolean {
  return config.includes('mschapv2') || config.startsWith('peap');
}

/** The conversations of `fuzz/corpus/eap-*`: one folder for each outer method. */
export function readExchanges(): Exchange[] {
  const corpus = join(import.meta.dirname, 'corpus');
  return readdirSync(corpus)
    .filter((folder) => folder.startsWith('eap-'))
    .sort()
    .flatMap((folder) =>
      readdirSync(join(corpus, folder))
        .filter((name) => name.endsWith('.txt'))
        .sort()
        .map((name) => parseExchange(`${folder}/${name}`, readFileSync(join(corpus, folder, name), 'utf8'))),
    );
}

/** @throws {Error} when the text is no exchange */
export function parseExchange(name: string, text: string): Exchange {
  const steps: Step[] = [];
  const settings = { config: '', version: '1.2', ends: '' };
  for (const line of text.split('\n')) {
    const [word = '', ...rest] = line.replace(/#.*/, '').trim().split(/\s+/);
    const value = rest.join('');
    switch (word) {
      case '':
        break;
      case 'config':
      case 'version':
      case 'ends':
        settings[word] = value;
        break;
      case 'eap':
      case 'handshake':
      case 'ticket':
      case 'data':
        steps.push({ kind: word, octets: fromHex(value) });
        break;
      case 'start':
      case 'success':
      case 'failure':
        steps.push({ kind: word });
        break;
      default:
        throw new Error(`${name}: "${word}"`);
    }
  }
  if (!Object.hasOwn(configs, settings.config)) throw new Error(`${name}: config "${settings.config}"`);
  const { version, ends } = settings;
  if (version !== '1.2' && version !== '1.3') throw new Error(`${name}: version "${version}"`);
  return { name, config: settings.config as keyof typeof configs, version, steps, ends };
}

export function formatExchange({ config, version, steps, ends }: Exchange, hex: (octets: Uint8Array) => string): string {
  const lines = steps.map((step) => ('octets' in step ? `${step.kind} ${hex(step.octets)}` : step.kind));
  return [`config ${config}`, `version ${version}`, `ends ${ends}`, ...lines, ''].join('\n');
}

type TlsAction = Extract<EapAction, { readonly kind: 'tls-start' | 'tls-input' | 'tls-write' | 'tls-close' }>;
type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;

const recordType = { handshake: 0x16, ticket: 0x14, data: 0x17 } as const;
const none = new Uint8Array();

/** A record of the play TLS: type, checksum in place of a MAC, content. */
export function seal(channel: TlsChannel, kind: keyof typeof recordType, content: Uint8Array): Uint8Array {
  const body = concat(Uint8Array.of(recordType[kind]), content);
  return new Writer(body.length + 4).u8(recordType[kind]).u32(checksum(channel, body)).bytes(content).finish();
}

/**
 * A TLS engine that hides nothing and is always the same, but takes no record that was not sealed: `forged` tells of one. Whatever the
 * peer does with a failed conversation afterwards stays failed.
 */
export class PlayTls {
  readonly #version: '1.2' | '1.3';
  readonly #challengeLengths = new Map<TlsChannel, number>();
  readonly #states = new Map<TlsChannel, 'handshaking' | 'established' | 'failed'>();
  /** Octets by which our flights are longer than needed. */
  readonly #extra: number;
  forged = false;

  constructor(version: '1.2' | '1.3', extra = 0) {
    this.#version = version;
    this.#extra = extra;
  }

  state(channel: TlsChannel): 'handshaking' | 'established' | 'failed' | undefined {
    return this.#states.get(channel);
  }

  static keyMaterial(channel: TlsChannel): Uint8Array {
    return Uint8Array.from({ length: 128 }, (_, i) => (channel === 'outer' ? i + 1 : 255 - i));
  }

  handle(action: TlsAction): TlsOutput | undefined {
    switch (action.kind) {
      case 'tls-start':
        this.#states.set(action.channel, 'handshaking');
        this.#challengeLengths.set(action.channel, action.keying.kind === 'ttls' ? action.keying.challengeLength : 0);
        return this.#output(action, seal(action.channel, 'handshake', new Uint8Array(this.#extra + 1)));
      case 'tls-input':
        return this.#input(action);
      case 'tls-write':
        if (this.#states.get(action.channel) !== 'established') throw new Error('tls-write before the tunnel is up');
        return this.#output(action, seal(action.channel, 'data', action.data));
      case 'tls-close':
        this.#states.delete(action.channel);
        return undefined;
    }
  }

  #input(action: Extract<TlsAction, { kind: 'tls-input' }>): TlsOutput {
    const { channel, records } = action;
    const state = this.#states.get(channel);
    const body = records.length < 5 ? undefined : concat(records.subarray(0, 1), records.subarray(5));
    const sum = body && new DataView(records.buffer, records.byteOffset).getUint32(1);
    if (!body || sum !== checksum(channel, body)) {
      this.forged = true;
      return this.#fail(action);
    }
    const content = body.subarray(1);
    switch (body[0]) {
      case recordType.handshake:
        if (state !== 'handshaking') return this.#fail(action);
        // A first octet of 1 says that there is more handshake to come.
        if (content[0] === 1) return this.#output(action, seal(channel, 'handshake', new Uint8Array(2)));
        this.#states.set(channel, 'established');
        return this.#output(action, this.#version === '1.3' ? seal(channel, 'handshake', new Uint8Array(3)) : none);
      case recordType.ticket:
        return state === 'established' ? this.#output(action, none) : this.#fail(action);
      case recordType.data:
        return state === 'established' ? this.#output(action, none, content.slice()) : this.#fail(action);
      case undefined:
      default:
        return this.#fail(action);
    }
  }

  #fail(action: TlsAction & { readonly request: number }): TlsOutput {
    this.#states.set(action.channel, 'failed');
    const failure = { reason: 'protocol', detail: 'the play TLS does not take it' } as const;
    const state = { kind: 'failed', failure } as const;
    return { kind: 'tls-output', request: action.request, records: Uint8Array.of(0x15), state, applicationData: none };
  }

  #output(action: TlsAction & { readonly request: number }, records: Uint8Array, applicationData = none): TlsOutput {
    const { request, channel } = action;
    const length = this.#challengeLengths.get(channel) ?? 0;
    const state =
      this.#states.get(channel) === 'established'
        ? ({
            kind: 'established',
            version: this.#version,
            resumed: false,
            keyMaterial: PlayTls.keyMaterial(channel),
            sessionId: none,
            ...(length > 0 && { challenge: Uint8Array.from({ length }, (_, i) => 100 + i) }),
          } as const)
        : ({ kind: 'handshaking' } as const);
    return { kind: 'tls-output', request, records, state, applicationData };
  }
}

/** FNV-1a of 32 bits (draft-eastlake-fnv): anything that notices a change will do. */
function checksum(channel: TlsChannel, octets: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (const octet of concat(encodeUtf8(channel), octets)) sum = Math.imul(sum ^ octet, 0x01000193) >>> 0;
  return sum;
}
