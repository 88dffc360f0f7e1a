import { isUnread, type CheckContext } from './check.ts';

/** Which protocol, and what depends on it; servers. */
export function checkProtocol({ profile, report }: CheckContext): void {
  const native = profile.nativeProfile;
  if (!native) return;
  const path = 'VPNProfile/NativeProfile';
  const { nativeProtocolType: protocol, protocolList, l2tpPsk, servers } = native;
  const typePath = `${path}/NativeProtocolType`;
  switch (protocol?.value) {
    case 'PPTP':
    case 'L2TP':
    case 'SSTP':
      report('protocolUnsupported', protocol.at, typePath, `the protocol is ${protocol.value}`);
      break;
    case 'Automatic':
      report('protocolNarrowed', protocol.at, typePath, 'NativeProtocolType is Automatic');
      break;
    case 'ProtocolList':
      if (!protocolList || protocolList.protocols.length === 0) {
        report('protocolListMissing', (protocolList ?? protocol).at, `${path}/ProtocolList`, 'no NativeProtocol is listed');
      } else if (protocolList.protocols.some(({ value }) => value === 'Ikev2')) {
        if (protocolList.protocols.length > 1)
          report('protocolNarrowed', protocolList.at, `${path}/ProtocolList`, 'the list has other protocols');
      } else {
        report('protocolUnsupported', protocolList.at, `${path}/ProtocolList`, 'Ikev2 is not in the list');
      }
      break;
    case 'IKEv2':
    case undefined:
      break;
  }
  if (protocolList) {
    if (protocol?.value !== 'ProtocolList') {
      report(
        'protocolListUnused',
        protocolList.at,
        `${path}/ProtocolList`,
        `NativeProtocolType is ${protocol?.value ?? 'absent'}`,
      );
    }
    const { protocols } = protocolList;
    if (protocols.length > 4 || new Set(protocols.map(({ value }) => value)).size < protocols.length) {
      report(
        'protocolListForm',
        protocolList.at,
        `${path}/ProtocolList`,
        `the list is ${protocols
          .map(({ value }) => value)
          .join(', ')
          .slice(0, 80)}`,
      );
    }
  }
  if (l2tpPsk && protocol?.value !== 'L2TP' && !protocolList?.protocols.some(({ value }) => value === 'L2tp')) {
    report('preSharedKeyWithoutL2tp', l2tpPsk.at, `${path}/L2tpPsk`, `NativeProtocolType is ${protocol?.value ?? 'absent'}`);
  }
  if ((!servers || servers.value.length === 0) && !isUnread(profile, path, 'Servers')) {
    report(
      'serversMissing',
      (servers ?? native).at,
      `${path}/Servers`,
      servers ? 'Servers is empty' : '<NativeProfile> has no <Servers>',
    );
  }
  const seen = new Set<string>();
  for (const { host } of servers?.value ?? []) {
    if (seen.has(host.toLowerCase())) report('serverTwice', servers!.at, `${path}/Servers`, `${host} is listed twice`);
    seen.add(host.toLowerCase());
  }
}
