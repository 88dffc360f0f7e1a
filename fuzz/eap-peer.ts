import { encodeUtf8, equal, Writer } from '@aovpn/bytes';
import { startEapPeer, stepEap, type EapAction, type EapCrypto, type EapEvent, type EapState } from '@aovpn/eap';
import { createEapCrypto } from '@aovpn/host';
import { configs, outerTypes, peerConfig, PlayTls, type Exchange } from './eap-exchange.ts';

/** What one packet of a server may cost, whatever it says. */
const limits = {
  /** Questions to the host, and with them steps. */
  steps: 8,
  actions: 16,
  /** Calls of the crypto port, and octets that go through it. */
  calls: 64,
  octets: 20_000,
  /** Octets of a reply: with IKE and IP around it still one datagram. */
  reply: 1100,
} as const;

/** Octets that the peer says nowhere but inside of a tunnel. */
const secrets = ['clientPass', 'newPass', 'inner-User'].map(encodeUtf8);

const hashes = createEapCrypto();
/** The peer challenge of RFC 2759 §9.2, so that a server's proof can be written down. */
const peerChallenge = Uint8Array.from(encodeUtf8('!@#$%^&*()_+:3|~'));

/**
 * The peer of one conversation, with everything that it asks for answered, and with the rules that hold whatever a server says. A broken
 * rule is thrown.
 */
export class FuzzedPeer {
  readonly tls: PlayTls;
  /** How it has ended, if it has. */
  end: string | undefined;
  #state: EapState;
  readonly #exchange: Exchange;
  readonly #crypto: EapCrypto;
  readonly #answer: (what: string) => Uint8Array | undefined;
  #msk: Uint8Array | undefined;
  #calls = 0;
  #octets = 0;

  constructor(exchange: Exchange, answer: (what: string) => Uint8Array | undefined = rightAnswer, extra = 0) {
    this.#exchange = exchange;
    this.#answer = answer;
    this.tls = new PlayTls(exchange.version, extra);
    this.#state = startEapPeer(peerConfig(exchange.config));
    this.#crypto = {
      random: (length) => (length === 16 ? peerChallenge.slice() : new Uint8Array(length)),
      sha1: (...data) => this.#count(data, hashes.sha1(...data)),
      md5: (...data) => this.#count(data, hashes.md5(...data)),
      hmacSha1: (key, ...data) => this.#count(data, hashes.hmacSha1(key, ...data)),
    };
  }

  /** Hands a packet of the server over; the reply, if there is one. */
  receive(packet: Uint8Array): Uint8Array | undefined {
    this.#calls = 0;
    this.#octets = 0;
    let reply: Uint8Array | undefined;
    let actions = 0;
    const events: EapEvent[] = [{ kind: 'packet', packet: packet.slice() }];
    for (let steps = 0; events.length > 0; steps++) {
      if (steps >= limits.steps) throw new Error(`more than ${limits.steps} steps for one packet`);
      const step = stepEap(this.#crypto, this.#state, events.shift()!);
      this.#state = step.state;
      actions += step.actions.length;
      if (actions > limits.actions) throw new Error(`more than ${limits.actions} actions for one packet`);
      for (const action of step.actions) {
        if (action.kind === 'reply') {
          if (reply) throw new Error('two replies to one packet');
          reply = action.packet;
          this.#checkReply(reply);
        }
        const event = this.#perform(action);
        if (event) events.push(event);
      }
    }
    if (this.#calls > limits.calls) throw new Error(`${this.#calls} calculations for one packet`);
    if (this.#octets > limits.octets + 4 * packet.length) throw new Error(`${this.#octets} octets hashed for one packet`);
    if (this.#msk && packet[0] === 3 && this.end === undefined) this.end = 'succeeded';
    return reply;
  }

  #perform(action: EapAction): EapEvent | undefined {
    if (this.end !== undefined && action.kind !== 'trace') throw new Error(`"${action.kind}" after the end (${this.end})`);
    switch (action.kind) {
      case 'need-secret': {
        if (this.#inTunnel && this.tls.state('outer') !== 'established')
          throw new Error('asks for a secret before the tunnel is up');
        return { kind: 'secret', request: action.request, secret: this.#answer(action.what) };
      }
      case 'tls-start':
        if (action.channel === 'inner' && this.tls.state('outer') !== 'established')
          throw new Error('inner TLS without the outer');
        return this.tls.handle(action);
      case 'tls-input':
      case 'tls-write':
      case 'tls-close':
        return this.tls.handle(action);
      case 'succeeded':
        this.#checkSuccess(action.msk);
        return undefined;
      case 'failed':
        this.end = action.failure.kind;
        return undefined;
      case 'notification':
        if (/\p{Cc}/u.test(action.text)) throw new Error('a notification with control characters');
        return undefined;
      case 'reply':
      case 'trace':
        return undefined;
    }
  }

  get #inTunnel(): boolean {
    const { kind } = configs[this.#exchange.config];
    return kind === 'peap' || kind === 'ttls';
  }

  #checkReply(reply: Uint8Array): void {
    if (reply.length > limits.reply) throw new Error(`a reply of ${reply.length} octets`);
    if (reply[0] !== 2 || ((reply[2]! << 8) | reply[3]!) !== reply.length) throw new Error('a reply that is no EAP Response');
    // The play TLS hides nothing, so that what is said too early shows.
    const tooEarly = this.tls.state('outer') !== 'established' && !('userName' in configs[this.#exchange.config]);
    if (tooEarly && secrets.some((secret) => contains(reply, secret)))
      throw new Error('the user is named before the tunnel is up');
  }

  #checkSuccess(msk: Uint8Array): void {
    if (this.#msk) throw new Error('succeeds twice');
    if (msk.length !== 64) throw new Error(`an MSK of ${msk.length} octets`);
    if (msk.every((octet) => octet === 0)) throw new Error('an MSK of zeros');
    this.#msk = msk;
    const { kind } = configs[this.#exchange.config];
    if (kind === 'mschapv2') return;
    if (this.tls.forged) throw new Error('succeeds after a forged record');
    if (kind !== 'peap' && !equal(msk, PlayTls.keyMaterial('outer').subarray(0, 64))) throw new Error("not the tunnel's key");
  }

  /** Whether `succeeded` was emitted, EAP-Success or not. */
  get claimed(): boolean {
    return this.#msk !== undefined;
  }

  #count(data: readonly Uint8Array[], result: Uint8Array): Uint8Array {
    this.#calls++;
    for (const part of data) this.#octets += part.length;
    return result;
  }
}

/** What the user's host answers when it knows everything. */
export function rightAnswer(what: string): Uint8Array {
  return encodeUtf8(what === 'password' ? 'clientPass' : what === 'new-password' ? 'newPass' : '123456');
}

/** A Request of the outer method with this Type-Data. */
export function outerRequest(exchange: Exchange, identifier: number, typeData: Uint8Array): Uint8Array {
  const { kind } = configs[exchange.config];
  return new Writer(typeData.length + 5)
    .u8(1)
    .u8(identifier & 0xff)
    .u16((typeData.length + 5) & 0xffff)
    .u8(outerTypes[kind])
    .bytes(typeData)
    .finish();
}

function contains(octets: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= octets.length; at++) if (equal(octets.subarray(at, at + part.length), part)) return true;
  return false;
}
