import { network } from '../../lab/network.ts';
import { missingPackage, peerName } from '../machine.ts';
import { innerMtu, type Plane } from './plane.ts';

/** OpenVPN over UDP in userspace (no kernel offload), AES-128-GCM, TLS with the world's certificates. */
export const openvpn: Plane = {
  name: peerName('OpenVPN'),
  kind: 'peer',
  ...missingPackage('openvpn'),
  async start({ client, gatewayHost, pki }) {
    const [near, far] = ['10.78.1.1', '10.78.2.2'];
    for (const [host, issued] of [
      [client, pki.machine()],
      [gatewayHost, pki.gateway()],
    ] as const) {
      host.write('/run/openvpn/ca.pem', pki.root.certificatePem);
      host.write('/run/openvpn/certificate.pem', issued.chainPem);
      host.write('/run/openvpn/key.pem', issued.keyPem, 0o600);
    }
    const options =
      '--dev tun1 --dev-type tun --disable-dco --proto udp4 --port 1194 --data-ciphers AES-128-GCM --fast-io --txqueuelen 1000 ' +
      '--ca /run/openvpn/ca.pem --cert /run/openvpn/certificate.pem --key /run/openvpn/key.pem';
    const common = ['openvpn', ...options.split(' '), '--tun-mtu', String(innerMtu)];
    gatewayHost.spawn([...common, '--tls-server', '--dh', 'none', '--ifconfig', far, near], { name: 'openvpn' });
    const running = client.spawn([...common, '--tls-client', '--remote', network.gateway.v4, '--ifconfig', near, far], {
      name: 'openvpn',
    });
    await running.saysWithin(/Initialization Sequence Completed/, 20_000);
    return far;
  },
};
