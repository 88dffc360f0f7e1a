import type {
  EapGtcSettings,
  EapMschapv2Settings,
  EapPeapSettings,
  EapSettings,
  EapTlsSettings,
  EapTtlsSettings,
  EapUnsupportedSettings,
  InnerEapSettings,
  ServerValidation,
} from '../profile.ts';
import { integer, text } from '../value/scalar.ts';
import { positionOf } from '../xml/element.ts';
import { readCertificateFilter } from './certificate-filter.ts';
import type { EapElement } from './eap-element.ts';
import { eapType } from './namespace.ts';
import { readServerValidation } from './server-validation.ts';

const typeNumber = integer(0, 255);
/** VendorId, VendorType and AuthorId are 32 bits wide. */
const idNumber = integer(0, 0xffff_ffff);

/** An EapHostConfig to settings; undefined (and reported) when they cannot be told. */
export function readHostConfig(host: EapElement): EapSettings | undefined {
  const method = host.child('EapMethod', 'hostConfig');
  const type = method?.value('Type', 'common', typeNumber);
  const vendor = method?.value('VendorId', 'common', idNumber) ?? 0;
  for (const name of ['VendorType', 'AuthorId']) method?.value(name, 'common', idNumber);
  method?.reportOthers();
  const config = host.child('Config', 'hostConfig');
  const blob = host.child('ConfigBlob', 'hostConfig');
  host.reportOthers();
  if (type === undefined) {
    (method ?? host).say('eapConfigMissing', 'EapMethod has no Type');
    return undefined;
  }
  if (vendor !== 0) {
    method!.say('eapTypeUnsupported', `the method is that of vendor ${vendor}`);
    return { method: 'unsupported', type };
  }
  if (!config) {
    if (blob) blob.say('eapConfigBlob', `the configuration of type ${type} is a ConfigBlob`);
    else host.say('eapConfigMissing', 'EapHostConfig has no Config');
    return { method: 'unsupported', type };
  }
  if (type === eapType.ttls) {
    const ttls = config.child('EapTtls', 'ttls');
    config.reportOthers();
    if (ttls) return readTtls(ttls);
    config.say('eapConfigMissing', 'Config has no EapTtls');
    return undefined;
  }
  const stray = config.element.children.find((child) => child.name === 'EapTtls');
  if (stray && isSupported(type)) config.say('eapTypeMismatch', `EapMethod has type ${type}, Config has the EapTtls of type 21`);
  const eap = config.child('Eap', 'base');
  config.reportOthers();
  if (!eap) {
    if (isSupported(type)) config.say('eapConfigMissing', 'Config has no Eap');
    else unsupported(config, type);
    return { method: 'unsupported', type };
  }
  return readEap(eap, type);
}

/** An Eap element; `outer` is the type that the element around it promised. */
function readEap(eap: EapElement, outer: number): EapSettings | undefined {
  const type = eap.value('Type', 'base', typeNumber) ?? outer;
  if (type !== outer) {
    eap.say('eapTypeMismatch', `EapMethod has type ${outer}, Eap has type ${type}`);
    return undefined;
  }
  switch (type) {
    case eapType.peap: {
      const properties = readProperties(eap, 'peap');
      return properties && readPeap(properties);
    }
    case eapType.tls:
    case eapType.mschapv2:
      return readPlain(eap, type);
    case eapType.gtc:
      eap.say('eapTypeUnsupported', 'EAP-GTC (type 6) hands over the secret as it is, and runs only inside of PEAP or EAP-TTLS');
      return { method: 'unsupported', type };
    default:
      return unsupported(eap, type);
  }
}

/** An Eap element inside of a tunnel. */
function readInnerEap(eap: EapElement, outer?: number): InnerEapSettings | undefined {
  const type = eap.value('Type', 'base', typeNumber) ?? outer;
  if (type === undefined) {
    eap.say('eapConfigMissing', 'Eap has no Type');
    return undefined;
  }
  if (outer !== undefined && type !== outer) {
    eap.say('eapTypeMismatch', `EapMethod has type ${outer}, Eap has type ${type}`);
    return undefined;
  }
  switch (type) {
    case eapType.tls:
    case eapType.mschapv2:
      return readPlain(eap, type);
    case eapType.gtc:
      // It has no properties; whatever stands in EapType is nobody's.
      eap.child('EapType', 'base');
      eap.reportOthers();
      return { method: 'gtc', at: positionOf(eap.element) };
    case eapType.peap:
    case eapType.ttls:
      eap.say('eapTypeUnsupported', `type ${type} is a tunnel, and there is one around it already`);
      return { method: 'unsupported', type };
    default:
      return unsupported(eap, type);
  }
}

function readPlain(eap: EapElement, type: 13 | 26): EapTlsSettings | EapMschapv2Settings | undefined {
  if (type === eapType.tls) {
    const properties = readProperties(eap, 'tls');
    return properties && readTls(properties);
  }
  const properties = readProperties(eap, 'mschapv2');
  return properties && readMschapv2(properties);
}

function readProperties(eap: EapElement, family: 'tls' | 'peap' | 'mschapv2'): EapElement | undefined {
  const properties = eap.child('EapType', family);
  eap.reportOthers();
  if (!properties) eap.say('eapConfigMissing', 'Eap has no EapType');
  return properties;
}

function isSupported(type: number): boolean {
  return type === eapType.tls || type === eapType.mschapv2 || type === eapType.peap || type === eapType.ttls;
}

function unsupported(element: EapElement, type: number): EapUnsupportedSettings {
  element.say('eapTypeUnsupported', `EAP type ${type}${type === 55 ? ' (TEAP)' : ''} is not supported`);
  return { method: 'unsupported', type };
}

function readTls(properties: EapElement): EapTlsSettings {
  const source = properties.child('CredentialsSource', 'tls');
  const smartCard = source?.child('SmartCard', 'tls');
  const store = source?.child('CertificateStore', 'tls');
  const simpleCertSelection = store?.flag('SimpleCertSelection', 'tls') ?? true;
  store?.reportOthers();
  source?.reportOthers();
  const serverValidation = readServerValidation(properties, 'tls', properties, {
    root: 'TrustedRootCA',
    noPrompt: 'DisableUserPromptForServerValidation',
  });
  const differentUsername = properties.flag('DifferentUsername', 'tls') ?? false;
  const extensions = properties.child('TLSExtensions', 'tls');
  const info = extensions?.child('FilteringInfo', 'tls');
  const filter = info && readCertificateFilter(info);
  extensions?.reportOthers();
  properties.reportOthers();
  if (smartCard) smartCard.say('smartCard', 'the client certificate is on a smart card');
  else if (!filter) properties.say('noCertificateFilter', 'there is no FilteringInfo');
  return {
    method: 'tls',
    at: positionOf(properties.element),
    credentialsSource: smartCard ? 'smart-card' : 'certificate-store',
    simpleCertSelection,
    differentUsername,
    serverValidation,
    ...(filter ? { filter } : {}),
  };
}

function readPeap(properties: EapElement): EapPeapSettings {
  const extensions = properties.child('PeapExtensions', 'peap');
  const serverValidation = readServerValidation(properties, 'peap', extensions, {
    root: 'TrustedRootCA',
    noPrompt: 'DisableUserPromptForServerValidation',
  });
  const fastReconnect = properties.flag('FastReconnect', 'peap') ?? true;
  const innerEapOptional = properties.flag('InnerEapOptional', 'peap') ?? false;
  const enableQuarantineChecks = properties.flag('EnableQuarantineChecks', 'peap') ?? false;
  const requireCryptoBinding = properties.flag('RequireCryptoBinding', 'peap') ?? false;
  const anonymousUserName = extensions && readIdentityPrivacy(extensions);
  const newest = extensions?.child('PeapExtensionsV2', 'peap');
  const allowPrompting = newest?.flag('AllowPromptingWhenServerCANotFound', 'peap');
  newest?.reportOthers();
  extensions?.reportOthers();
  const innerElement = properties.child('Eap', 'base');
  properties.reportOthers();
  if (innerEapOptional) properties.say('innerEapOptional', 'InnerEapOptional is true');
  if (enableQuarantineChecks) properties.say('quarantineChecks', 'EnableQuarantineChecks is true');
  if (!requireCryptoBinding) properties.say('cryptoBindingNotRequired', 'RequireCryptoBinding is false or absent');
  if (!innerElement) properties.say('innerEapMissing', 'the PEAP configuration has no inner Eap');
  const inner = innerElement && readInnerEap(innerElement);
  if (inner?.method === 'gtc') refuseUnprovenServer(properties, serverValidation, 'EAP-GTC');
  return {
    method: 'peap',
    at: positionOf(properties.element),
    serverValidation: {
      ...serverValidation,
      ...(allowPrompting === undefined ? {} : { allowPromptingWhenServerCaNotFound: allowPrompting }),
    },
    fastReconnect,
    innerEapOptional,
    enableQuarantineChecks,
    requireCryptoBinding,
    ...(anonymousUserName === undefined ? {} : { anonymousUserName }),
    ...(inner ? { inner } : {}),
  };
}

/** A password in clear inside a tunnel with nobody knows whom is a password in clear. */
function refuseUnprovenServer(method: EapElement, validation: ServerValidation, inner: string): void {
  if (validation.performServerValidation !== false && validation.at) return;
  const why = validation.at ? 'PerformServerValidation is false' : 'there is no ServerValidation';
  method.say('secretForAnybody', `${inner} hands over the password as it is, and ${why}`);
}

/** The outer name when identity privacy is on; newer schemas have the two elements in IdentityPrivacy, some directly. */
function readIdentityPrivacy(extensions: EapElement): string | undefined {
  const privacy = extensions.child('IdentityPrivacy', 'peap');
  if (!privacy) return undefined;
  const enabled = privacy.flag('EnableIdentityPrivacy', 'peap') ?? false;
  const name = privacy.value('AnonymousUserName', 'peap', text);
  privacy.reportOthers();
  if (!enabled) return undefined;
  if (name === undefined || name === '') privacy.say('anonymousNameMissing', 'there is no AnonymousUserName');
  return name ?? '';
}

function readMschapv2(properties: EapElement): EapMschapv2Settings {
  const useWinLogonCredentials = properties.flag('UseWinLogonCredentials', 'mschapv2') ?? false;
  properties.reportOthers();
  if (useWinLogonCredentials) properties.say('winLogonCredentials', 'UseWinLogonCredentials is true');
  return { method: 'mschapv2', at: positionOf(properties.element), useWinLogonCredentials };
}

function readTtls(properties: EapElement): EapTtlsSettings | undefined {
  const serverValidation = readServerValidation(properties, 'ttls', undefined, {
    root: 'TrustedRootCAHash',
    noPrompt: 'DisablePrompt',
  });
  const phase1 = properties.child('Phase1Identity', 'ttls');
  const privacy = phase1?.flag('IdentityPrivacy', 'ttls') ?? true;
  const anonymous = phase1?.value('AnonymousIdentity', 'ttls', text);
  phase1?.reportOthers();
  const phase2 = properties.child('Phase2Authentication', 'ttls');
  const method = phase2 && readPhase2(phase2, properties, serverValidation);
  phase2?.reportOthers();
  properties.reportOthers();
  if (!method) {
    (phase2 ?? properties).say('eapConfigMissing', 'there is no inner method in Phase2Authentication');
    return undefined;
  }
  return {
    method: 'ttls',
    at: positionOf(properties.element),
    serverValidation,
    phase2: method,
    ...(privacy ? { anonymousIdentity: anonymous ?? '' } : {}),
  };
}

function readPhase2(
  phase2: EapElement,
  properties: EapElement,
  serverValidation: ServerValidation,
): EapTtlsSettings['phase2'] | undefined {
  const eap = phase2.child('Eap', 'base');
  const host = phase2.child('EapHostConfig', 'hostConfig');
  const pap = phase2.child('PAPAuthentication', 'ttls');
  const chap = phase2.child('CHAPAuthentication', 'ttls');
  const mschap = phase2.child('MSCHAPAuthentication', 'ttls');
  const mschapv2 = phase2.child('MSCHAPv2Authentication', 'ttls');
  const chosen = [eap, host, pap, chap, mschap, mschapv2].filter((found) => found !== undefined);
  if (chosen.length > 1) chosen[1]!.say('eapWrittenTwice', 'Phase2Authentication has more than one method');
  if (eap ?? host) {
    const inner = eap ? readInnerEap(eap) : readInnerHost(host!);
    if (inner?.method === 'gtc') refuseUnprovenServer(properties, serverValidation, 'EAP-GTC');
    return inner && { kind: 'eap', inner };
  }
  if (pap) refuseUnprovenServer(properties, serverValidation, 'PAP');
  if (pap) return { kind: 'pap' };
  // A challenge of one's own choice, or of the tunnel's, can be tried against a dictionary at leisure.
  if (chap) refuseUnprovenServer(properties, serverValidation, 'CHAP');
  if (chap) return { kind: 'chap' };
  if (mschap) return { kind: 'mschap' };
  if (!mschapv2) return undefined;
  const useWinLogonCredentials = mschapv2.flag('UseWinlogonCredentials', 'ttls') ?? false;
  mschapv2.reportOthers();
  if (useWinLogonCredentials) mschapv2.say('winLogonCredentials', 'UseWinlogonCredentials is true');
  return { kind: 'mschapv2', useWinLogonCredentials };
}

/** An EapHostConfig in the place of an Eap element. */
function readInnerHost(host: EapElement): InnerEapSettings | undefined {
  const method = host.child('EapMethod', 'hostConfig');
  const type = method?.value('Type', 'common', typeNumber);
  for (const name of ['VendorId', 'VendorType', 'AuthorId']) method?.value(name, 'common', idNumber);
  method?.reportOthers();
  const config = host.child('Config', 'hostConfig');
  const blob = host.child('ConfigBlob', 'hostConfig');
  host.reportOthers();
  const eap = config?.child('Eap', 'base');
  config?.reportOthers();
  if (eap) return readInnerEap(eap, type);
  if (type === eapType.gtc) return { method: 'gtc', at: positionOf(host.element) } satisfies EapGtcSettings;
  if (blob) blob.say('eapConfigBlob', 'the inner configuration is a ConfigBlob');
  else host.say('eapConfigMissing', type === undefined ? 'EapMethod has no Type' : 'Config has no Eap');
  return type === undefined ? undefined : { method: 'unsupported', type };
}
