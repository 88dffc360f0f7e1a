import { network } from '../../lab/network.ts';
import { StrongswanClient } from '../../lab/peer.ts';
import { missingPackage, peerName } from '../machine.ts';
import type { Plane } from './plane.ts';

/** strongSwan with kernel-libipsec at both ends, AES by the aesni plugin. Its device has an MTU of 1400 by itself. */
export const libipsec: Plane = {
  name: `${peerName('strongSwan')} kernel-libipsec`,
  kind: 'peer',
  ...missingPackage('strongswan-charon', 'libcharon-extra-plugins', 'libstrongswan-extra-plugins'),
  async start(world) {
    await world.startGateway();
    const client = new StrongswanClient(world.client, {
      certificate: world.pki.machine(),
      authority: world.pki.root.certificatePem,
      espProposals: ['aes128gcm16'],
    });
    await client.start();
    await client.initiate();
    return network.gateway.lan4;
  },
};
