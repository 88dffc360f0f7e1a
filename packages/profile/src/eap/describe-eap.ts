import type { CertificateFilter, EapSettings, InnerEapSettings, ServerValidation } from '../profile.ts';

/** EAP settings in words: label and value. */
export function describeEap(
  settings: EapSettings | InnerEapSettings,
  inner = false,
): readonly (readonly [label: string, value: string])[] {
  const method = inner ? 'inner method' : 'EAP method';
  switch (settings.method) {
    case 'unsupported':
      return [[method, `type ${settings.type}, not supported`]];
    case 'mschapv2':
      return [[method, `EAP-MSCHAPv2 with ${settings.useWinLogonCredentials ? 'the sign-in password' : 'a password'}`]];
    case 'gtc':
      return [[method, 'EAP-GTC with a password or one-time code']];
    case 'tls': {
      const key = settings.credentialsSource === 'smart-card' ? 'a smart card' : 'a certificate';
      return [
        [method, `EAP-TLS with ${key}`],
        ...describeValidation(settings.serverValidation, inner),
        ...(settings.filter ? describeFilter(settings.filter) : []),
      ];
    }
    case 'peap':
      return [
        [
          method,
          `PEAP${settings.requireCryptoBinding ? ', cryptobinding required' : ''}${settings.fastReconnect ? ', fast reconnect' : ''}`,
        ],
        ...(settings.anonymousUserName === undefined
          ? []
          : [['outer identity', settings.anonymousUserName || '@realm only'] as const]),
        ...describeValidation(settings.serverValidation, inner),
        ...(settings.inner ? describeEap(settings.inner, true) : []),
      ];
    case 'ttls':
      return [
        [method, 'EAP-TTLS'],
        ...(settings.anonymousIdentity === undefined
          ? []
          : [['outer identity', settings.anonymousIdentity || '@realm only'] as const]),
        ...describeValidation(settings.serverValidation, inner),
        ...(settings.phase2.kind === 'eap'
          ? describeEap(settings.phase2.inner, true)
          : [['inner method', settings.phase2.kind.toUpperCase()] as const]),
      ];
  }
}

function describeValidation(validation: ServerValidation, inner: boolean): readonly (readonly [string, string])[] {
  const which = inner ? 'inner RADIUS' : 'RADIUS';
  if (validation.performServerValidation === false) return [[`${which} server`, 'not checked']];
  const { serverNames, trustedRootCa, acceptServerName } = validation;
  const names = serverNames.length === 0 ? 'any name' : serverNames.join('; ');
  return [
    [`${which} server`, acceptServerName === false ? `any name (${names} is not compared)` : names],
    [`${which} root`, trustedRootCa.length === 0 ? 'any configured root' : trustedRootCa.join(', ')],
  ];
}

function describeFilter(filter: CertificateFilter): readonly (readonly [string, string])[] {
  const oids = new Map(filter.ekuMapping.map(({ name, oid }) => [name, oid]));
  const list = (names: readonly string[]): string =>
    names.map((name) => `${name} (${oids.get(name) ?? 'unknown'})`).join(', ') || 'nothing more';
  const { caHashList, clientAuthEkuList, anyPurposeEkuList } = filter;
  return [
    ...(caHashList?.enabled === true ? [['certificate issuer', caHashList.issuerHashes.join(', ')] as const] : []),
    ...(clientAuthEkuList?.enabled === true ? [['client-auth EKU and', list(clientAuthEkuList.names)] as const] : []),
    ...(anyPurposeEkuList?.enabled === true ? [['any-purpose EKU and', list(anyPurposeEkuList.names)] as const] : []),
    ...(filter.allPurposeEnabled ? [['certificate EKU', 'one without any EKU is allowed'] as const] : []),
  ];
}
