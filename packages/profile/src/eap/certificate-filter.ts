import type { CertificateFilter, EkuList } from '../profile.ts';
import { quote } from '../quote.ts';
import { isObjectIdentifier } from '../value/list.ts';
import { boolean, word } from '../value/scalar.ts';
import { positionOf } from '../xml/element.ts';
import type { EapElement } from './eap-element.ts';
import { thumbprintValue } from './server-validation.ts';

/** The client certificate filter of EAP-TLS (FilteringInfo). */
export function readCertificateFilter(info: EapElement): CertificateFilter {
  const order = info.element.children.map((child) => requiredOrder.indexOf(child.name)).filter((index) => index >= 0);
  if (order.some((index, i) => i > 0 && index < order[i - 1]!)) {
    info.say(
      'filterOrder',
      `the order is ${info.element.children
        .map((child) => child.name)
        .join(', ')
        .slice(0, 200)}`,
    );
  }
  const allPurposeEnabled = info.flag('AllPurposeEnabled', 'tls') ?? false;
  const hashes = info.child('CAHashList', 'tls');
  const issuerHashes = (hashes?.children('IssuerHash', 'tls') ?? [])
    .map((hash) => hash.read(thumbprintValue))
    .filter((hash) => hash !== undefined);
  hashes?.reportOthers();
  const mapping = info.child('EKUMapping', 'tls');
  const ekuMapping = (mapping?.children('EKUMap', 'tls') ?? []).flatMap((map) => {
    const name = map.value('EKUName', 'tls', word);
    const oid = map.value('EKUOID', 'tls', word);
    map.reportOthers();
    if (name === undefined || oid === undefined) {
      map.say('eapConfigMissing', 'EKUMap needs EKUName and EKUOID');
      return [];
    }
    if (!isObjectIdentifier(oid)) {
      map.say('notObjectIdentifier', `${quote(oid)} is not an object identifier`);
      return [];
    }
    return [{ name, oid }];
  });
  mapping?.reportOthers();
  const known = new Set(ekuMapping.map(({ name }) => name));
  const clientAuth = info.child('ClientAuthEKUList', 'tls');
  const anyPurpose = info.child('AnyPurposeEKUList', 'tls');
  const filter: CertificateFilter = {
    at: positionOf(info.element),
    allPurposeEnabled,
    ...(hashes
      ? { caHashList: { at: positionOf(hashes.element), enabled: readEnabled(hashes, issuerHashes.length), issuerHashes } }
      : {}),
    ekuMapping,
    ...(clientAuth ? { clientAuthEkuList: readEkuList(clientAuth, known) } : {}),
    ...(anyPurpose ? { anyPurposeEkuList: readEkuList(anyPurpose, known) } : {}),
  };
  info.reportOthers();
  return filter;
}

const requiredOrder: readonly string[] = [
  'AllPurposeEnabled',
  'CAHashList',
  'EKUMapping',
  'ClientAuthEKUList',
  'AnyPurposeEKUList',
];

function readEkuList(list: EapElement, known: ReadonlySet<string>): EkuList {
  const mapInList = list.children('EKUMapInList', 'tls');
  const names = mapInList.flatMap((map) => {
    const found = map.children('EKUName', 'tls').map((name) => ({ name, value: name.read(word) }));
    map.reportOthers();
    return found.flatMap(({ name, value }) => {
      if (value === undefined) return [];
      if (!known.has(value)) name.say('ekuNotMapped', `EKUMapping has no EKUName ${quote(value)}`);
      return [value];
    });
  });
  const enabled = readEnabled(list, names.length);
  list.reportOthers();
  return { at: positionOf(list.element), enabled, names };
}

function readEnabled(list: EapElement, entries: number): boolean {
  const { name, attributes } = list.element;
  const written = attributes.find((attribute) => attribute.name === 'Enabled')?.value;
  const enabled =
    written === undefined
      ? false
      : (boolean.read({ text: written.trim(), report: (finding, message) => list.say(finding, `Enabled: ${message}`) }) ?? false);
  if (enabled && entries === 0) list.say('emptyFilterList', `<${name}> is enabled, but empty`);
  if (!enabled && entries > 0) list.say('filterDisabled', `<${name}> has ${entries} entries, but is not enabled`);
  return enabled;
}
