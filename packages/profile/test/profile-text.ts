import { encodeUtf8 } from '@aovpn/bytes';
import { parseProfile, type ParseOptions, type ParseResult } from '../src/index.ts';

/** Reads a profile from text. */
export function parse(text: string, options?: ParseOptions): ParseResult {
  return parseProfile(encodeUtf8(text), options);
}

/** The codes of what is found, in order, without "AOV-PROFILE-". */
export function codes(result: ParseResult): readonly string[] {
  return result.diagnostics.map(({ code }) => code.slice('AOV-PROFILE-'.length));
}

interface Parts {
  /** Elements of the root before NativeProfile. */
  readonly top?: string;
  /** All of NativeProfile; `''` for none. */
  readonly native?: string;
  readonly policy?: string;
  readonly protocol?: string;
  readonly servers?: string;
  readonly authentication?: string;
  readonly suite?: string;
  /** More elements of NativeProfile. */
  readonly more?: string;
}

const machineCertificate = '<Authentication><MachineMethod>Certificate</MachineMethod></Authentication>';

/** A small profile without any finding, with parts replaced. */
export function profileText(parts: Parts = {}): string {
  const native =
    parts.native ??
    `<NativeProfile>${parts.servers ?? '<Servers>vpn.example.com</Servers>'}${
      parts.policy ?? '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>'
    }${parts.protocol ?? '<NativeProtocolType>IKEv2</NativeProtocolType>'}${parts.authentication ?? machineCertificate}${
      parts.suite ?? ''
    }${parts.more ?? ''}</NativeProfile>`;
  return `<VPNProfile>${parts.top ?? ''}${native}</VPNProfile>`;
}

const provisioning = 'http://www.microsoft.com/provisioning/';
export const root = 'a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4';

/** An EapHostConfig around what its Config holds. */
export function hostConfig(type: number, config: string, ns = `${provisioning}EapHostConfig`): string {
  return `<EapHostConfig xmlns="${ns}"><EapMethod><Type xmlns="${provisioning}EapCommon">${type}</Type></EapMethod>${config}</EapHostConfig>`;
}

export function eap(type: number, family: string, properties: string): string {
  return `<Eap xmlns="${provisioning}BaseEapConnectionPropertiesV1"><Type>${type}</Type><EapType xmlns="${provisioning}${family}">${properties}</EapType></Eap>`;
}

export const validation = `<ServerValidation><DisableUserPromptForServerValidation>true</DisableUserPromptForServerValidation><ServerNames>radius.example.com</ServerNames><TrustedRootCA>${root}</TrustedRootCA></ServerValidation>`;

export function filter(content: string): string {
  return `<TLSExtensions xmlns="${provisioning}EapTlsConnectionPropertiesV2"><FilteringInfo xmlns="${provisioning}EapTlsConnectionPropertiesV3">${content}</FilteringInfo></TLSExtensions>`;
}

export const someFilter = filter('<AllPurposeEnabled>true</AllPurposeEnabled>');

/** EAP-TLS whose properties are these. */
export function tls(properties = validation + someFilter): string {
  return eap(13, 'EapTlsConnectionPropertiesV1', properties);
}

export function mschapv2(useWinLogon = false): string {
  return eap(26, 'MsChapV2ConnectionPropertiesV1', `<UseWinLogonCredentials>${useWinLogon}</UseWinLogonCredentials>`);
}

/** PEAP around an inner method. */
export function peap(
  inner = mschapv2(),
  more = '<RequireCryptoBinding>true</RequireCryptoBinding>',
  checks = validation,
): string {
  return eap(25, 'MsPeapConnectionPropertiesV1', `${checks}<FastReconnect>true</FastReconnect>${inner}${more}`);
}

/** A profile with EAP-TTLS around an inner method. */
export function ttls(
  inner: string,
  phase1 = '<Phase1Identity><IdentityPrivacy>true</IdentityPrivacy><AnonymousIdentity>guest</AnonymousIdentity></Phase1Identity>',
  checks = `<ServerValidation><ServerNames>radius.example.com</ServerNames><TrustedRootCAHash>${root}</TrustedRootCAHash><DisablePrompt>true</DisablePrompt></ServerValidation>`,
): string {
  const properties = `${checks}<Phase2Authentication>${inner}</Phase2Authentication>${phase1}`;
  return methodProfile(21, `<EapTtls xmlns="${provisioning}EapTtlsConnectionPropertiesV1">${properties}</EapTtls>`);
}

/** An Authentication with UserMethod EAP and this EapHostConfig. */
export function eapAuthentication(configuration: string): string {
  return `<Authentication><UserMethod>EAP</UserMethod><Eap><Configuration>${configuration}</Configuration></Eap></Authentication>`;
}

/** A profile with this EapHostConfig. */
export function eapProfile(configuration: string, top = ''): string {
  return profileText({ top, authentication: eapAuthentication(configuration) });
}

/** A profile whose EAP method is this one. */
export function methodProfile(type: number, method: string, top = ''): string {
  return eapProfile(hostConfig(type, `<Config>${method}</Config>`), top);
}
