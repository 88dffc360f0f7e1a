import type { FindingCase } from './finding-case.ts';
import {
  eap,
  eapAuthentication,
  eapProfile,
  filter,
  hostConfig,
  methodProfile,
  mschapv2,
  peap,
  profileText,
  root,
  someFilter,
  tls,
  ttls,
  validation,
} from './profile-text.ts';

const authentication = (content: string): string =>
  profileText({ authentication: `<Authentication>${content}</Authentication>` });
const user = '<UserMethod>EAP</UserMethod>';
const machine = '<MachineMethod>EAP</MachineMethod>';
const configuration = `<Eap><Configuration>${hostConfig(26, `<Config>${mschapv2()}</Config>`)}</Configuration></Eap>`;
const hash = `<IssuerHash>${root}</IssuerHash>`;
const mapping = '<EKUMapping><EKUMap><EKUName>a</EKUName><EKUOID>1.2.3</EKUOID></EKUMap></EKUMapping>';

export const authenticationCases: readonly FindingCase[] = [
  { code: '097', what: 'EAP without configuration', text: authentication(user) },
  {
    code: '098',
    what: 'unused configuration',
    text: authentication(`<MachineMethod>Certificate</MachineMethod>${configuration}`),
  },
  { code: '099', what: 'EAP and EAP', text: authentication(user + machine + configuration) },
  { code: '100', what: 'machine EAP alone', text: authentication(machine + configuration) },
  {
    code: '101',
    what: 'EAP and certificate',
    text: authentication(`${user}<MachineMethod>Certificate</MachineMethod>${configuration}`),
  },
  { code: '102', what: 'no method', text: authentication('') },
  { code: '103', what: 'pre-shared key', text: profileText({ more: '<L2tpPsk>secret</L2tpPsk>' }) },
  {
    code: '114',
    what: 'compliance with issuer filter',
    text: methodProfile(
      13,
      tls(validation + filter(`<CAHashList Enabled="true">${hash}</CAHashList>`)),
      '<DeviceCompliance><Enabled>true</Enabled></DeviceCompliance>',
    ),
    only: false,
  },
  {
    code: '114',
    what: 'compliance with issuer filter inside of EAP-TTLS',
    text: ttls(tls(validation + filter(`<CAHashList Enabled="true">${hash}</CAHashList>`))).replace(
      '<NativeProfile>',
      '<DeviceCompliance><Enabled>true</Enabled></DeviceCompliance><NativeProfile>',
    ),
    only: false,
  },
];

export const eapCases: readonly FindingCase[] = [
  { code: '150', what: 'escaped and ill-formed', text: eapProfile('&lt;EapHostConfig&gt;') },
  { code: '151', what: 'wrong root', text: eapProfile('<Eap/>') },
  {
    code: '152',
    what: 'https namespace',
    text: eapProfile(hostConfig(26, `<Config>${mschapv2()}</Config>`).replaceAll('http://', 'https://')),
    only: false,
  },
  { code: '153', what: 'other namespace', text: eapProfile(hostConfig(26, `<Config xmlns="urn:x">${mschapv2()}</Config>`)) },
  { code: '154', what: 'types differ', text: methodProfile(13, peap()) },
  { code: '155', what: 'TEAP', text: methodProfile(55, '<EapTeap xmlns="urn:teap"/>'), only: false },
  { code: '155', what: 'EAP-MD5', text: methodProfile(4, eap(4, 'x', '')), only: false },
  { code: '156', what: 'blob', text: eapProfile(hostConfig(13, '<ConfigBlob>00</ConfigBlob>')) },
  { code: '157', what: 'unknown element', text: methodProfile(26, mschapv2().replace('</EapType>', '<Colour/></EapType>')) },
  { code: '158', what: 'no Config', text: eapProfile(hostConfig(13, '')) },
  { code: '158', what: 'no EapType', text: methodProfile(26, mschapv2().replace(/<EapType.*<\/EapType>/, '')) },
  { code: '160', what: 'no validation', text: methodProfile(13, tls(someFilter)) },
  {
    code: '160',
    what: 'validation off',
    text: methodProfile(
      25,
      peap(
        mschapv2(),
        '<RequireCryptoBinding>true</RequireCryptoBinding><PeapExtensions><PerformServerValidation xmlns="http://www.microsoft.com/provisioning/MsPeapConnectionPropertiesV2">false</PerformServerValidation></PeapExtensions>',
      ),
    ),
  },
  {
    code: '161',
    what: 'no root',
    text: methodProfile(13, tls(validation.replace(/<TrustedRootCA>.*<\/TrustedRootCA>/, '') + someFilter)),
  },
  {
    code: '162',
    what: 'names ignored',
    text: methodProfile(13, tls(`${validation}<AcceptServerName>false</AcceptServerName>${someFilter}`)),
  },
  {
    code: '186',
    what: 'neither root nor name',
    text: methodProfile(13, tls(validation.replace(/<ServerNames>.*<\/TrustedRootCA>/, '') + someFilter)),
  },
  {
    code: '186',
    what: 'neither root nor a name that counts',
    text: methodProfile(
      13,
      tls(
        `${validation.replace(/<TrustedRootCA>.*<\/TrustedRootCA>/, '')}<AcceptServerName>false</AcceptServerName>${someFilter}`,
      ),
    ),
    only: false,
  },
  { code: '163', what: 'blank names', text: methodProfile(13, tls(validation.replace('radius.example.com', ' ') + someFilter)) },
  {
    code: '164',
    what: 'comma list',
    text: methodProfile(13, tls(validation.replace('radius', 'a.example,radius') + someFilter)),
  },
  {
    code: '164',
    what: 'quotes',
    text: methodProfile(13, tls(validation.replace('radius.example.com', '"radius.example.com"') + someFilter)),
  },
  {
    code: '164',
    what: 'wildcard',
    text: methodProfile(13, tls(validation.replace('radius.example.com', '*.example.com') + someFilter)),
  },
  { code: '165', what: 'capital letters', text: methodProfile(13, tls(validation.replace('radius', 'RADIUS') + someFilter)) },
  { code: '166', what: 'no cryptobinding', text: methodProfile(25, peap(mschapv2(), '')) },
  { code: '167', what: 'no inner method', text: methodProfile(25, peap('')) },
  {
    code: '168',
    what: 'inner optional',
    text: methodProfile(
      25,
      peap(mschapv2(), '<InnerEapOptional>true</InnerEapOptional><RequireCryptoBinding>true</RequireCryptoBinding>'),
    ),
  },
  {
    code: '169',
    what: 'anonymous without name',
    text: methodProfile(
      25,
      peap(
        mschapv2(),
        '<RequireCryptoBinding>true</RequireCryptoBinding><PeapExtensions><IdentityPrivacy><EnableIdentityPrivacy>true</EnableIdentityPrivacy></IdentityPrivacy></PeapExtensions>',
      ),
    ),
  },
  {
    code: '170',
    what: 'quarantine',
    text: methodProfile(
      25,
      peap(mschapv2(), '<EnableQuarantineChecks>true</EnableQuarantineChecks><RequireCryptoBinding>true</RequireCryptoBinding>'),
    ),
  },
  { code: '171', what: 'logon password', text: methodProfile(26, mschapv2(true)) },
  {
    code: '172',
    what: 'smart card',
    text: methodProfile(13, tls(`<CredentialsSource><SmartCard/></CredentialsSource>${validation}`)),
  },
  {
    code: '173',
    what: 'unmapped EKU',
    text: methodProfile(
      13,
      tls(
        validation +
          filter('<ClientAuthEKUList Enabled="true"><EKUMapInList><EKUName>a</EKUName></EKUMapInList></ClientAuthEKUList>'),
      ),
    ),
  },
  { code: '174', what: 'empty list', text: methodProfile(13, tls(validation + filter('<CAHashList Enabled="true"/>'))) },
  { code: '175', what: 'disabled list', text: methodProfile(13, tls(validation + filter(`<CAHashList>${hash}</CAHashList>`))) },
  {
    code: '176',
    what: 'order',
    text: methodProfile(13, tls(validation + filter(`${mapping}<CAHashList Enabled="true">${hash}</CAHashList>`))),
  },
  { code: '177', what: 'no filter', text: methodProfile(13, tls(validation)) },
  {
    code: '178',
    what: 'no object identifier',
    text: methodProfile(13, tls(validation + filter(mapping.replace('1.2.3', 'client')))),
  },
  { code: '179', what: 'Config twice', text: eapProfile(hostConfig(26, `<Config>${mschapv2()}</Config><Config/>`)) },
  {
    code: '180',
    what: 'escaped twice',
    text: profileText({ authentication: eapAuthentication('&amp;lt;EapHostConfig&amp;gt;') }),
  },
  ...(
    [
      ['181', 'look-around', '(?=nps)x'],
      ['181', 'star alone', '*'],
      ['181', 'unclosed class', 'nps[1.x'],
      ['182', 'anchors at the wrong ends', 'nps1$\\.x'],
      ['182', 'a subject instead of a name', 'CN=nps1, O=x'],
      ['183', 'everything', '.*'],
      ['184', 'star after a letter', 'nps*.corp.example'],
    ] as const
  ).map(([code, what, name]) => ({
    code,
    what,
    text: methodProfile(13, tls(validation.replace('radius.example.com', name) + someFilter)),
    // A comma outside of brackets separates.
    ...(name.includes(',') && { only: false as const }),
  })),
  { code: '185', what: 'PAP for anybody', text: ttls('<PAPAuthentication/>', undefined, ''), only: false },
  { code: '185', what: 'CHAP for anybody', text: ttls('<CHAPAuthentication/>', undefined, ''), only: false },
];
