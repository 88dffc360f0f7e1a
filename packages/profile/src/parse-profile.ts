import { convertNames } from './check/international-names.ts';
import { checkProfile } from './check/check-profile.ts';
import type { Diagnostic } from './diagnostic.ts';
import { collectFindings, TooManyFindings, type Report } from './finding.ts';
import { defaultLimits, type ProfileLimits } from './limits.ts';
import type { Position, Profile } from './profile.ts';
import { quote } from './quote.ts';
import { readProfile } from './read/read-profile.ts';
import { decodeFile, type Encoding } from './xml/decode.ts';
import { positionOf, trimBlanks, type XmlElement } from './xml/element.ts';
import { parseXml } from './xml/parse.ts';
import { sourceOfFile } from './xml/source.ts';

export interface ParseOptions {
  /**
   * What a name with characters beyond ASCII is in DNS, by UTS 46; the empty string for what cannot be there: `domainToASCII` of `node:url`. Without it
   * such names are errors.
   */
  readonly toAscii?: (name: string) => string;
  readonly limits?: Partial<ProfileLimits>;
}

export interface ParseResult {
  /** Present when the profile can be used: there is no diagnostic of severity `error`. */
  readonly profile?: Profile;
  /** What could be understood, also of a profile with errors. For showing only: never connect with it. */
  readonly understood?: Profile;
  /** In the order of the text. */
  readonly diagnostics: readonly Diagnostic[];
  /** The file as text, to which the positions refer; empty when it could not be decoded. */
  readonly text: string;
}

/**
 * Reads a ProfileXML file as it is found in the wild: UTF-8 or UTF-16, any order of elements, EAP configuration literal or escaped.
 * Never throws for anything a file can contain; takes time in proportion to its size; expands no entities and fetches nothing.
 */
export function parseProfile(bytes: Uint8Array, options: ParseOptions = {}): ParseResult {
  const limits = { ...defaultLimits, ...options.limits };
  const findings = collectFindings(limits.diagnostics);
  const text = decode(bytes, limits, findings.report);
  const understood =
    text && !findings.hasErrors() ? readUnlessTooWrong(text, limits, options.toAscii ?? (() => ''), findings.report) : undefined;
  const usable = understood !== undefined && !findings.hasErrors();
  return {
    ...(usable ? { profile: understood } : {}),
    ...(understood ? { understood } : {}),
    diagnostics: findings.list(),
    text: text?.text ?? '',
  };
}

function readUnlessTooWrong(
  text: Text,
  limits: ProfileLimits,
  toAscii: (name: string) => string,
  report: Report,
): Profile | undefined {
  try {
    const profile = read(text, limits, report);
    const internationalNames = profile ? convertNames(profile, toAscii, report) : [];
    return profile && internationalNames.length > 0 ? { ...profile, internationalNames } : profile;
  } catch (error) {
    if (error instanceof TooManyFindings) return undefined;
    throw error;
  }
}

interface Text {
  readonly text: string;
  readonly encoding: Encoding;
}

const top: Position = { line: 1, column: 1 };

function decode(bytes: Uint8Array, limits: ProfileLimits, report: Report): Text | undefined {
  if (bytes.length > limits.size) {
    report('tooLarge', top, '', `the file has ${bytes.length} octets; ${limits.size} are the limit`);
    return undefined;
  }
  const decoded = decodeFile(bytes);
  if (decoded.kind === 'unsupported') {
    report('encodingUnsupported', top, '', `the file looks like ${decoded.encoding}`);
    return undefined;
  }
  if (decoded.kind === 'invalid') {
    const at = sourceOfFile(decoded.text).position(decoded.offset);
    report('encodingInvalid', at, '', `these octets are no ${decoded.encoding}`);
  } else if (trimBlanks(decoded.text) === '') {
    report('emptyFile', top, '', bytes.length === 0 ? 'the file has no octets' : 'the file has nothing but blanks');
  }
  return { text: decoded.text, encoding: decoded.encoding };
}

function read({ text, encoding }: Text, limits: ProfileLimits, report: Report): Profile | undefined {
  const source = sourceOfFile(text);
  const parsed = parseXml(source, limits);
  if (parsed.kind === 'failure') {
    const { name, offset, message } = parsed.failure;
    report(name, source.position(offset), '', message);
    return undefined;
  }
  const { declaration, declarationOffset, root } = parsed;
  if (declarationOffset > 0)
    report('declarationNotFirst', source.position(declarationOffset), '', 'the XML declaration comes after blanks');
  const declared = declaration.encoding?.toUpperCase();
  if (declared !== undefined && !(encoding.startsWith(declared) || (encoding === 'UTF-8' && declared === 'UTF8'))) {
    const at = source.position(declarationOffset);
    report('encodingMismatch', at, '', `the declaration says ${quote(declaration.encoding!)}, the file is ${encoding}`);
  }
  if (!isProfileRoot(root, report)) return undefined;
  const profile = readProfile(root, limits, report);
  checkProfile(profile, positionOf(root), report);
  return profile;
}

function isProfileRoot(root: XmlElement, report: Report): boolean {
  const at = positionOf(root);
  const name = quote(root.qualifiedName).slice(1, -1);
  if (root.name === 'VPNProfile') {
    if (root.uri === '') return true;
    report('rootNamespace', at, name, `<${name}> is in the namespace ${quote(root.uri)}`);
  } else if (['SyncML', 'SyncBody', 'Atomic', 'Add', 'Replace'].includes(root.name)) {
    report('syncMl', at, name, `the root element is <${name}>`);
  } else {
    const near = root.name.toLowerCase() === 'vpnprofile' ? '; the case matters' : '';
    report('wrongRoot', at, name, `the root element is <${name}>${near}`);
  }
  return false;
}
