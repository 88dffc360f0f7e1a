import { Writer } from '@aovpn/bytes';
import type { EapAction, EapCrypto, EapEvent, EapPeerConfig } from '../src/peer-contract.ts';
import { testCrypto } from './crypto.ts';
import { FakeTls, type FakeTlsOptions } from './fake-tls.ts';
import { request } from './packet-writer.ts';
import { Script } from './script.ts';

/** A {@link Script} whose TLS questions are answered by a {@link FakeTls} at once. */
export class TunnelScript extends Script {
  readonly tls: FakeTls;

  constructor(config: EapPeerConfig, options: FakeTlsOptions = {}, crypto: EapCrypto = testCrypto()) {
    super(config, crypto);
    this.tls = new FakeTls(options);
  }

  /** One step whose TLS questions the test answers itself. */
  stepOnce(event: EapEvent): readonly EapAction[] {
    return super.step(event);
  }

  override step(event: EapEvent): readonly EapAction[] {
    const seen: EapAction[] = [];
    let next: EapEvent | undefined = event;
    while (next) {
      const actions = super.step(next);
      next = undefined;
      for (const action of actions) {
        if ('channel' in action) next = this.tls.handle(action) ?? next;
        else seen.push(action);
      }
    }
    return seen;
  }
}

/** A Request of a TLS-based method with these flags; the length field only when its flag is set. */
export function tlsRequest(
  type: number,
  identifier: number,
  flags: number,
  data: Uint8Array = new Uint8Array(),
  total = data.length,
): Uint8Array {
  const writer = new Writer().u8(flags);
  if ((flags & 0x80) !== 0) writer.u32(total);
  return request(identifier, type, writer.bytes(data).finish());
}
