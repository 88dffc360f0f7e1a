import { network } from '../../lab/network.ts';
import { missingPackage, peerName } from '../machine.ts';
import { innerMtu, type Plane } from './plane.ts';

/** wireguard-go at both ends. It has one cipher, ChaCha20-Poly1305. */
export const wireguardGo: Plane = {
  name: peerName('wireguard-go'),
  kind: 'peer',
  ...missingPackage('wireguard-go', 'wireguard-tools'),
  async start({ client, gatewayHost }) {
    const ends = [
      { host: client, inner: '10.79.1.1', other: '10.79.2.2', outer: network.client.home.v4 },
      { host: gatewayHost, inner: '10.79.2.2', other: '10.79.1.1', outer: network.gateway.v4 },
    ] as const;
    const keys: { readonly secret: string; readonly public: string }[] = [];
    for (const { host } of ends) {
      const secret = await host.exec(['wg', 'genkey']);
      keys.push({ secret, public: (await host.exec(['wg', 'pubkey'], { input: secret })).trim() });
      host.spawn(['wireguard-go', '--foreground', 'wg0'], { name: 'wireguard-go' });
    }
    for (const [index, { host, inner, other }] of ends.entries()) {
      host.write('/run/wireguard.key', keys[index]!.secret, 0o600);
      const peer = ['peer', keys[1 - index]!.public, 'allowed-ips', `${other}/32`, 'endpoint', `${ends[1 - index]!.outer}:51820`];
      const configure = ['wg', 'set', 'wg0', 'listen-port', '51820', 'private-key', '/run/wireguard.key', ...peer];
      for (let turn = 0; (await host.run(configure)).status !== 0; turn++)
        if (turn === 100) throw new Error('wireguard-go does not start');
      await host.ip(`link set wg0 mtu ${innerMtu} up`, `addr add ${inner}/32 dev wg0`, `route add ${other}/32 dev wg0`);
    }
    return '10.79.2.2';
  },
};
