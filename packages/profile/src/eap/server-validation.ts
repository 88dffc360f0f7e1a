import type { ServerValidation } from '../profile.ts';
import { quote } from '../quote.ts';
import { thumbprint } from '../value/list.ts';
import { text, withoutInvisible } from '../value/scalar.ts';
import type { ValueType } from '../value/value-type.ts';
import { trimBlanks } from '../xml/element.ts';
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
  const serverNames = names ? readServerNames(names) : [];
  const trustedRootCa = (validation?.children(elements.root, family) ?? [])
    .map((root) => root.read(thumbprintValue))
    .filter((hash) => hash !== undefined);
  const disableUserPrompt = validation?.flag(elements.noPrompt, family) ?? false;
  const performServerValidation = switches?.flag('PerformServerValidation', family);
  const acceptServerName = switches?.flag('AcceptServerName', family);
  validation?.reportOthers();
  if (!validation || performServerValidation === false) {
    method.say('serverValidationOff', validation ? 'PerformServerValidation is false' : 'there is no ServerValidation');
  } else {
    if (trustedRootCa.length === 0) validation.say('trustedRootMissing', `ServerValidation has no ${elements.root}`);
    if (serverNames.length === 0) validation.say('serverNamesMissing', 'ServerValidation has no ServerNames');
    else if (acceptServerName === false) names!.say('serverNamesIgnored', 'AcceptServerName is false, so ServerNames is ignored');
  }
  return {
    serverNames,
    trustedRootCa,
    disableUserPrompt,
    ...(performServerValidation === undefined ? {} : { performServerValidation }),
    ...(acceptServerName === undefined ? {} : { acceptServerName }),
  };
}

/** Names as they stand between separators, without quotes. */
function readServerNames(element: EapElement): readonly string[] {
  const written = element.read(text) ?? '';
  if (written === '') return [];
  const bare = unquote(written);
  let quoted = bare !== written;
  const separator = !bare.includes(';') && hasSeparatingComma(bare) ? ',' : ';';
  const names = bare
    .split(separator)
    .map((part) => {
      const trimmed = trimBlanks(part);
      const name = unquote(trimmed);
      quoted ||= name !== trimmed;
      return name;
    })
    .filter((name) => name !== '');
  const oddities = [
    ...(separator === ',' ? ['commas separate the names'] : []),
    ...(quoted ? ['there are quotes around a name'] : []),
    ...names.filter((name) => name.startsWith('*')).map((name) => `${quote(name)} is no regular expression`),
  ];
  if (oddities.length > 0) element.say('serverNamesForm', oddities.slice(0, 3).join('; '));
  const capital = names.find((name) => name !== name.toLowerCase() && !name.includes('\\'));
  if (capital !== undefined) element.say('serverNamesCase', `${quote(capital)} has capital letters`);
  return names;
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
