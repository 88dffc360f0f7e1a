import type { Report } from '../finding.ts';
import type { ProfileLimits } from '../limits.ts';
import type { EapSettings } from '../profile.ts';
import { quote } from '../quote.ts';
import { positionOf, positionOfText, standaloneXml, trimBlanks, type XmlElement } from '../xml/element.ts';
import { parseXml } from '../xml/parse.ts';
import { sourceOfContent } from '../xml/source.ts';
import { EapElement } from './eap-element.ts';
import { namespaces } from './namespace.ts';
import { readHostConfig } from './read-method.ts';

export interface EapConfiguration {
  /** Undefined when an error was reported. */
  readonly settings: EapSettings | undefined;
  /** The EapHostConfig element, unescaped, otherwise as found. */
  readonly xml: string;
  /** Whatever else was in the Configuration element. */
  readonly extra: readonly XmlElement[];
}

/**
 * Reads the content of Eap/Configuration: an EapHostConfig as elements, or as escaped text, or in a CDATA section. Undefined when
 * there is no EapHostConfig in it, which has been reported.
 */
export function readEapConfiguration(
  configuration: XmlElement,
  path: string,
  limits: ProfileLimits,
  report: Report,
): EapConfiguration | undefined {
  const text = trimBlanks(configuration.text);
  if (configuration.children.length === 0) {
    if (text === '') {
      report('emptyElement', positionOf(configuration), path, `<${configuration.name}> is empty`);
      return undefined;
    }
    if (/^&(amp;)?lt;/.test(text)) {
      report('eapEscapedTwice', positionOfText(configuration), path, 'the text begins with "&lt;" even after unescaping');
      return undefined;
    }
    const source = sourceOfContent(configuration.source, configuration.contentStart, configuration.contentEnd);
    const parsed = parseXml(source, limits);
    if (parsed.kind === 'failure') {
      const { name, offset, message } = parsed.failure;
      report(name === 'illFormed' ? 'eapIllFormed' : name, source.position(offset), path, `in the EAP configuration: ${message}`);
      return undefined;
    }
    return readRoot(parsed.root, [], path, report);
  }
  if (text !== '') report('strayText', positionOfText(configuration), path, `${quote(text, 40)} is no element`);
  const host = configuration.children.find((child) => child.name === 'EapHostConfig') ?? configuration.children[0]!;
  const extra = configuration.children.filter((child) => child !== host);
  for (const child of extra) {
    report(
      'eapUnknownElement',
      positionOf(child),
      path,
      `<${quote(child.qualifiedName).slice(1, -1)}> stands next to EapHostConfig`,
    );
  }
  return readRoot(host, extra, path, report);
}

function readRoot(root: XmlElement, extra: readonly XmlElement[], path: string, report: Report): EapConfiguration | undefined {
  if (root.name !== 'EapHostConfig') {
    const name = quote(root.qualifiedName).slice(1, -1);
    report('eapWrongRoot', positionOf(root), path, `the EAP configuration begins with <${name}>`);
    return undefined;
  }
  const found = new Set<string>();
  const host = new EapElement(root, `${path}/EapHostConfig`, report, found);
  if (root.uri !== namespaces.hostConfig[0]) {
    found.add(root.uri);
    const https = root.uri === namespaces.hostConfig[0].replace('http:', 'https:');
    host.say(https ? 'eapHttpsNamespace' : 'eapWrongNamespace', `the namespace of <EapHostConfig> is ${quote(root.uri, 120)}`);
  }
  return { settings: readHostConfig(host), xml: standaloneXml(root), extra };
}
