import { toHex } from '@aovpn/bytes';
import { decodeHeader, ikeHeaderLength } from '../src/message/header.ts';
import { ExchangeType } from '../src/registry/exchange.ts';
import { PayloadType } from '../src/registry/payload-type.ts';

/**
 * Looks at every datagram that one side sends, as somebody on the path would: nothing is in clear but IKE_SA_INIT (RFC 7296 §1.2, §3.14) and
 * IKE_SESSION_RESUME, these only as long as nothing else has been sent, and no initialization vector stands before two different ciphertexts of one key
 * (RFC 5282 §3.1).
 */
export class WireWatch {
  readonly #ivs = new Map<string, string>();
  #protected = false;
  /** A ticket that is not taken is followed by a full exchange (RFC 5723 §4.3.2). */
  #mayBeginAnew = false;

  /** @throws {Error} when a rule is broken */
  see(datagram: Uint8Array): void {
    const header = decodeHeader(datagram);
    if (!header) throw new Error('something that is no IKEv2 message was sent');
    if (header.exchange === ExchangeType.IKE_SESSION_RESUME) {
      if (this.#protected) throw new Error('IKE_SESSION_RESUME after the first protected message');
      this.#mayBeginAnew = true;
      return;
    }
    if (header.exchange === ExchangeType.IKE_SA_INIT) {
      if (this.#protected && !this.#mayBeginAnew) throw new Error('IKE_SA_INIT after the first protected message');
      this.#protected = false;
      this.#mayBeginAnew = false;
      return;
    }
    const fragment = header.nextPayload === PayloadType.SKF;
    if (header.nextPayload !== PayloadType.SK && !fragment) throw new Error(`exchange ${header.exchange} was sent in clear`);
    this.#protected = true;
    const at = ikeHeaderLength + (fragment ? 8 : 4);
    const key = `${toHex(header.spiI)} ${toHex(header.spiR)} ${toHex(datagram.subarray(at, at + 8))}`;
    const before = this.#ivs.get(key);
    const content = toHex(datagram);
    if (before !== undefined && before !== content) throw new Error('one initialization vector for two messages');
    this.#ivs.set(key, content);
  }
}
