import type { TlsChannel } from '../peer-contract.ts';
import type { AnyMethod, EapMethod, MethodConfig, MethodKind } from './method.ts';

/** A method with the configuration that it will begin with. */
export interface BoundMethod {
  readonly method: AnyMethod;
  readonly begin: () => unknown;
}

/** Takes the configuration's method from a table, paired with its configuration. `channel`: the TLS conversation that is the method's own. */
export function bindMethod<K extends MethodKind>(
  table: { readonly [P in K]: EapMethod<P> },
  config: MethodConfig<K> & { readonly kind: K },
  channel: TlsChannel,
): BoundMethod {
  const method = table[config.kind];
  return { method, begin: () => method.begin(config, channel) };
}
