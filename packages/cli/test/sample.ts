import type { ConnectionStatus, DaemonStatus, ProfileStatus } from '@aovpn/api';

export const upConnection: ConnectionStatus = {
  name: 'Contoso Device',
  tunnel: 'device',
  state: 'up',
  reason: 'traffic flows',
  since: '2026-11-22T10:00:00.000Z',
  attempts: 1,
  gateway: { name: 'vpn.contoso.example', address: '192.0.2.1', port: 4500 },
  device: 'aovpn0',
  mtu: 1400,
  addresses: ['10.99.0.5/32', '2001:db8:99::5/128'],
  routing: 'SplitTunnel',
  routes: [
    { prefix: '10.0.0.0/8', kind: 'tunnel', metric: 5, because: 'profile "Contoso Device" line 31: Route' },
    { prefix: '10.1.0.0/16', kind: 'excluded', because: 'profile "Contoso Device" line 36: ExclusionRoute' },
  ],
  dns: {
    suffixes: ['corp.example'],
    rules: [
      { name: '.corp.example', servers: ['10.0.0.53'], because: 'profile "Contoso Device" line 40: DomainName' },
      { name: 'www.corp.example', servers: [], because: 'profile "Contoso Device" line 44: DomainName' },
    ],
  },
  crypto: {
    ike: 'AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519',
    child: 'AES-GCM-16-256',
    authentication: 'certificate',
    gatewayIdentity: 'vpn.contoso.example',
    gatewaySubject: 'CN=vpn.contoso.example',
    mobike: true,
    fragmentation: true,
    natLocal: true,
    natRemote: false,
  },
  connectedAt: '2026-11-22T10:00:00.000Z',
  traffic: { bytesIn: 5_000_000, bytesOut: 2048, packetsIn: 4000, packetsOut: 20, dropped: 3 },
};

export const waitingConnection: ConnectionStatus = {
  name: 'Contoso User',
  tunnel: 'user',
  state: 'waiting',
  reason: 'the gateway refuses the password',
  since: '2026-11-22T10:04:00.000Z',
  nextTryAt: '2026-11-22T10:06:00.000Z',
  attempts: 2,
  problem: {
    code: 'AOV-EAP-101',
    windows: 691,
    side: 'credentials',
    message: 'The user name or password is wrong\u001b[2J',
    cure: 'correct the password file',
    at: '2026-11-22T10:04:00.000Z',
  },
  gateway: { name: 'vpn.contoso.example' },
  addresses: [],
  routing: 'ForceTunnel',
  routes: [],
  dns: { suffixes: [], rules: [] },
};

export const profile: ProfileStatus = {
  name: 'Contoso Device',
  file: '/etc/aovpn/profiles.d/Contoso Device.xml',
  tunnel: 'device',
  alwaysOn: true,
  state: 'in-force',
  loadedAt: '2026-11-22T09:00:00.000Z',
  diagnostics: [],
};

export const daemonStatus: DaemonStatus = {
  version: '0.1.0',
  pid: 42,
  startedAt: '2026-11-22T09:00:00.000Z',
  resolver: 'stub',
  platform: { kind: 'workgroup', suffixes: [], unread: [], trace: ['belongs to no domain'] },
  signedIn: [],
  resolverTrace: ['systemd-resolved does not run'],
  connections: [upConnection, waitingConnection],
  profiles: [
    profile,
    { ...profile, name: 'Contoso User', tunnel: 'user', state: 'kept', file: '/etc/aovpn/profiles.d/Contoso User.xml' },
  ],
};
