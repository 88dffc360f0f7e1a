import type {
  CertificateFilter,
  EapSettings,
  EapTlsSettings,
  EapTtlsSettings,
  InnerEapSettings,
  ServerValidation,
} from '../profile.ts';
import { escapeText } from '../xml/write.ts';
import { eapType, namespaces } from './namespace.ts';

/**
 * The EapHostConfig that says what the settings say, in the order of Windows' schemas.
 *
 * @throws {RangeError} for a method that the settings do not describe
 */
export function writeEapHostConfig(settings: EapSettings): string {
  if (settings.method === 'unsupported') throw new RangeError(`EAP type ${settings.type} cannot be written without its text`);
  const type = eapType[settings.method];
  const [ns] = namespaces.common;
  const ids = [
    ['Type', type],
    ['VendorId', 0],
    ['VendorType', 0],
    ['AuthorId', settings.method === 'ttls' ? 311 : 0],
  ]
    .map(([name, value]) => `<${name} xmlns="${ns}">${value}</${name}>`)
    .join('');
  const config = settings.method === 'ttls' ? ttls(settings) : eap(settings);
  return `<EapHostConfig xmlns="${namespaces.hostConfig[0]}"><EapMethod>${ids}</EapMethod><Config>${config}</Config></EapHostConfig>`;
}

type WithEapElement = Exclude<EapSettings, EapTtlsSettings> | InnerEapSettings;

function eap(settings: WithEapElement): string {
  if (settings.method === 'unsupported') throw new RangeError(`EAP type ${settings.type} cannot be written without its text`);
  const [ns] = namespaces.base;
  return `<Eap xmlns="${ns}"><Type>${eapType[settings.method]}</Type>${properties(settings)}</Eap>`;
}

function properties(settings: Exclude<WithEapElement, { readonly method: 'unsupported' }>): string {
  switch (settings.method) {
    case 'mschapv2':
      return `<EapType xmlns="${namespaces.mschapv2[0]}">${tag('UseWinLogonCredentials', settings.useWinLogonCredentials)}</EapType>`;
    case 'gtc':
      return '';
    case 'tls':
      return tls(settings);
    case 'peap': {
      const [v1, v2, v3] = namespaces.peap;
      const { serverValidation: validation, anonymousUserName } = settings;
      const privacy =
        anonymousUserName === undefined
          ? ''
          : `<IdentityPrivacy xmlns="${v2}">${tag('EnableIdentityPrivacy', true)}${tag('AnonymousUserName', anonymousUserName)}</IdentityPrivacy>`;
      const { allowPromptingWhenServerCaNotFound: allowed } = validation;
      const prompting =
        allowed === undefined
          ? ''
          : `<PeapExtensionsV2 xmlns="${v3}">${tag('AllowPromptingWhenServerCANotFound', allowed)}</PeapExtensionsV2>`;
      return (
        `<EapType xmlns="${v1}">${serverValidation(validation, 'TrustedRootCA', 'DisableUserPromptForServerValidation')}` +
        tag('FastReconnect', settings.fastReconnect) +
        tag('InnerEapOptional', settings.innerEapOptional) +
        (settings.inner ? eap(settings.inner) : '') +
        tag('EnableQuarantineChecks', settings.enableQuarantineChecks) +
        tag('RequireCryptoBinding', settings.requireCryptoBinding) +
        `<PeapExtensions>${switches(validation, v2)}${privacy}${prompting}</PeapExtensions></EapType>`
      );
    }
  }
}

function tls(settings: EapTlsSettings): string {
  const [v1, v2, v3] = namespaces.tls;
  const source =
    settings.credentialsSource === 'smart-card'
      ? '<SmartCard/>'
      : `<CertificateStore>${tag('SimpleCertSelection', settings.simpleCertSelection)}</CertificateStore>`;
  const extensions = settings.filter
    ? `<TLSExtensions xmlns="${v2}"><FilteringInfo xmlns="${v3}">${filteringInfo(settings.filter)}</FilteringInfo></TLSExtensions>`
    : '';
  return (
    `<EapType xmlns="${v1}"><CredentialsSource>${source}</CredentialsSource>` +
    serverValidation(settings.serverValidation, 'TrustedRootCA', 'DisableUserPromptForServerValidation') +
    tag('DifferentUsername', settings.differentUsername) +
    `${switches(settings.serverValidation, v2)}${extensions}</EapType>`
  );
}

function ttls(settings: EapTtlsSettings): string {
  const { phase2, anonymousIdentity } = settings;
  const names = { pap: 'PAPAuthentication', chap: 'CHAPAuthentication', mschap: 'MSCHAPAuthentication' } as const;
  const method =
    phase2.kind === 'eap'
      ? eap(phase2.inner)
      : phase2.kind === 'mschapv2'
        ? `<MSCHAPv2Authentication>${tag('UseWinlogonCredentials', phase2.useWinLogonCredentials)}</MSCHAPv2Authentication>`
        : `<${names[phase2.kind]}/>`;
  const identity =
    anonymousIdentity === undefined
      ? tag('IdentityPrivacy', false)
      : `${tag('IdentityPrivacy', true)}${tag('AnonymousIdentity', anonymousIdentity)}`;
  return (
    `<EapTtls xmlns="${namespaces.ttls[0]}">${serverValidation(settings.serverValidation, 'TrustedRootCAHash', 'DisablePrompt')}` +
    `<Phase2Authentication>${method}</Phase2Authentication><Phase1Identity>${identity}</Phase1Identity></EapTtls>`
  );
}

function serverValidation(validation: ServerValidation, root: string, noPrompt: string): string {
  const names = validation.serverNames.join(';');
  const roots = validation.trustedRootCa.map((hash) => tag(root, hash)).join('');
  const prompt = tag(noPrompt, validation.disableUserPrompt);
  const inOrder =
    noPrompt === 'DisablePrompt' ? [tag('ServerNames', names), roots, prompt] : [prompt, tag('ServerNames', names), roots];
  return `<ServerValidation>${inOrder.join('')}</ServerValidation>`;
}

function switches(validation: ServerValidation, ns: string): string {
  const { performServerValidation, acceptServerName } = validation;
  const one = (name: string, value: boolean | undefined): string =>
    value === undefined ? '' : `<${name} xmlns="${ns}">${value}</${name}>`;
  return one('PerformServerValidation', performServerValidation) + one('AcceptServerName', acceptServerName);
}

function filteringInfo(filter: CertificateFilter): string {
  const { caHashList, ekuMapping, clientAuthEkuList, anyPurposeEkuList } = filter;
  const list = (name: string, eku: { readonly enabled: boolean; readonly names: readonly string[] } | undefined): string =>
    eku
      ? `<${name} Enabled="${eku.enabled}">${eku.names.length === 0 ? '' : `<EKUMapInList>${eku.names.map((entry) => tag('EKUName', entry)).join('')}</EKUMapInList>`}</${name}>`
      : '';
  return (
    tag('AllPurposeEnabled', filter.allPurposeEnabled) +
    (caHashList
      ? `<CAHashList Enabled="${caHashList.enabled}">${caHashList.issuerHashes.map((hash) => tag('IssuerHash', hash)).join('')}</CAHashList>`
      : '') +
    (ekuMapping.length === 0
      ? ''
      : `<EKUMapping>${ekuMapping.map(({ name, oid }) => `<EKUMap>${tag('EKUName', name)}${tag('EKUOID', oid)}</EKUMap>`).join('')}</EKUMapping>`) +
    list('ClientAuthEKUList', clientAuthEkuList) +
    list('AnyPurposeEKUList', anyPurposeEkuList)
  );
}

function tag(name: string, value: string | boolean): string {
  return `<${name}>${escapeText(String(value))}</${name}>`;
}
