import { readServerName } from '@aovpn/eap';
import type { ServerValidation } from '../profile.ts';
import { quote } from '../quote.ts';
import { thumbprint } from '../value/list.ts';
import { withoutInvisible } from '../value/scalar.ts';
import type { RawValue, ValueType } from '../value/value-type.ts';
import { positionOf, trimBlanks } from '../xml/element.ts';
import type { EapElement } from './eap-element.ts';
import type { NamespaceFamily } from './namespace.ts';

/** The SHA-1 hash of one certificate. */
export const thumbprintValue: ValueType<string> = {
  name: 'certificate hash',
  mayBeEmpty: false,
  read: (raw) => thumbprint({ text: withoutInvisible(raw), offset: 0 }, raw),
  write: (value) => value,
};

/**
 * Trust in the RADIUS server: the ServerValidation of a method, and the switches that later schemas added elsewhere
 * (`switches`: the EapType of EAP-TLS, the PeapExtensions of PEAP).
 */
export function readServerValidation(
  method: EapElement,
  family: NamespaceFamily,
  switches: EapElement | undefined,
  elements: { readonly root: string; readonly noPrompt: string },
): ServerValidation {
  const validation = method.child('ServerValidation', family);
  const names = validation?.child('ServerNames', family);
  const serverNames = names?.read(serverNamesList) ?? [];
  const trustedRootCa = (validation?.children(elements.root, family) ?? [])
    .map((root) => root.read(thumbprintValue))
    .filter((hash) => hash !== undefined);
  const disableUserPrompt = validation?.flag(elements.noPrompt, family) ?? false;
  const performServerValidation = switches?.flag('PerformServerValidation', family);
  const acceptServerName = switches?.flag('AcceptServerName', family);
  validation?.reportOthers();
  if (performServerValidation === false) {
    method.say('serverValidationOff', 'PerformServerValidation is false');
  } else if (!validation) {
    method.say('serverValidationOff', 'there is no ServerValidation', {
      here: 'It is checked all the same: the roots configured for RADIUS on this machine count, with any name.',
    });
  } else {
    const isNamed = serverNames.length > 0 && acceptServerName !== false;
    if (trustedRootCa.length === 0 && !isNamed)
      validation.say('anyServerBelieved', `ServerValidation has no ${elements.root} and no ServerNames that count`);
    else if (trustedRootCa.length === 0) validation.say('trustedRootMissing', `ServerValidation has no ${elements.root}`);
    else if (serverNames.length === 0) validation.say('serverNamesMissing', 'ServerValidation has no ServerNames');
    if (serverNames.length > 0 && !isNamed)
      names!.say('serverNamesIgnored', 'AcceptServerName is false, so ServerNames is ignored');
  }
  return {
    ...(validation && { at: positionOf(validation.element) }),
    serverNames,
    trustedRootCa,
    disableUserPrompt,
    ...(performServerValidation === undefined ? {} : { performServerValidation }),
    ...(acceptServerName === undefined ? {} : { acceptServerName }),
  };
}

/** Names as they stand between separators, without quotes. */
const serverNamesList: ValueType<readonly string[]> = {
  name: 'list of server names',
  mayBeEmpty: true,
  read: (raw) => {
    const written = withoutInvisible(raw);
    if (written === '') return [];
    const bare = unquote(written);
    const separator = !bare.includes(';') && hasSeparatingComma(bare) ? ',' : ';';
    const oddities: { readonly what: string; readonly offset: number }[] = [];
    if (bare !== written) oddities.push({ what: 'there are quotes around the list', offset: 0 });
    if (separator === ',') oddities.push({ what: 'commas separate the names', offset: written.indexOf(',') });
    const names: string[] = [];
    let start = written.indexOf(bare);
    for (const part of bare.split(separator)) {
      const trimmed = trimBlanks(part);
      const name = unquote(trimmed);
      const offset = start + part.indexOf(name);
      start += part.length + 1;
      if (name !== trimmed) oddities.push({ what: `there are quotes around ${quote(name)}`, offset });
      if (name === '') continue;
      names.push(name);
      reviewServerName(name, offset, raw);
    }
    if (names.length === 0) oddities.push({ what: 'there is no name in it', offset: 0 });
    if (oddities.length > 0) {
      const what = oddities.slice(0, 3).map((oddity) => oddity.what);
      raw.report('serverNamesForm', what.join('; '), Math.min(...oddities.map(({ offset }) => offset)));
    }
    return names;
  },
  write: (names) => names.join(';'),
};

/** Says what is wrong with one entry; it is kept as it is, since leaving it out could come to mean "any name". */
function reviewServerName(name: string, offset: number, raw: RawValue): void {
  const reading = readServerName(name);
  switch (reading.kind) {
    case 'unusable':
      raw.report('serverNameNotUnderstood', `${quote(name)}: ${reading.fault.why}`, offset + reading.fault.offset);
      return;
    case 'expression':
      if (!reading.canMatch) raw.report('serverNameNeverMatches', `${quote(name)} takes no host name at all`, offset);
      else if (reading.matchesAll) raw.report('serverNameMatchesAll', `${quote(name)} takes every name`, offset);
      else if (/^[\w.-]*[\w-]\*[\w.*-]*$/.test(name)) {
        raw.report('serverNameStar', `in ${quote(name)} the star repeats the character before it`, offset);
      }
      break;
    case 'wildcard':
      raw.report('serverNamesForm', `${quote(name)} is no regular expression`, offset);
      break;
    case 'name':
      break;
  }
  if (/[A-Z]/.test(name.replaceAll(/\\./g, ''))) raw.report('serverNamesCase', `${quote(name)} has capital letters`, offset);
}

/** Whether a comma stands outside of all brackets, where it is no part of a regular expression. */
function hasSeparatingComma(written: string): boolean {
  let depth = 0;
  for (const character of written) {
    if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character)) depth--;
    else if (character === ',' && depth <= 0) return true;
  }
  return false;
}

function unquote(written: string): string {
  return written.length >= 2 && written.startsWith('"') && written.endsWith('"') && !written.slice(1, -1).includes('"')
    ? trimBlanks(written.slice(1, -1))
    : written;
}
