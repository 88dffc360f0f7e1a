import type { FindingName } from '../diagnostic-catalogue.ts';
import type { FindingWords, Report } from '../finding.ts';
import { quote } from '../quote.ts';
import { readValue } from '../read/read-value.ts';
import { suggestName } from '../read/suggest.ts';
import { boolean } from '../value/scalar.ts';
import type { ValueType } from '../value/value-type.ts';
import { positionOf, type XmlElement } from '../xml/element.ts';
import { namespaces, provisioning, type NamespaceFamily } from './namespace.ts';

/** An element of an EAP configuration while it is read: knows its path and which of its children were asked for. */
export class EapElement {
  readonly element: XmlElement;
  readonly path: string;
  readonly #report: Report;
  readonly #asked = new Set<string>();
  readonly #namespacesReported: Set<string>;

  constructor(element: XmlElement, path: string, report: Report, namespacesReported: Set<string> = new Set()) {
    this.element = element;
    this.path = path;
    this.#report = report;
    this.#namespacesReported = namespacesReported;
  }

  /** The child of this name; any namespace, with a word about a wrong one. */
  child(name: string, family: NamespaceFamily): EapElement | undefined {
    const [first, second] = this.children(name, family);
    if (second) second.say('eapWrittenTwice', `<${name}> is already in line ${positionOf(first!.element).line}`);
    return first;
  }

  /** All children of this name, in order. */
  children(name: string, family: NamespaceFamily): readonly EapElement[] {
    this.#asked.add(name);
    return this.element.children
      .filter((child) => child.name === name)
      .map((child) => {
        const found = new EapElement(child, `${this.path}/${name}`, this.#report, this.#namespacesReported);
        found.#checkNamespace(family);
        return found;
      });
  }

  /** The value of the child of this name. */
  value<T>(name: string, family: NamespaceFamily, type: ValueType<T>): T | undefined {
    const child = this.child(name, family);
    return child && child.read(type);
  }

  flag(name: string, family: NamespaceFamily): boolean | undefined {
    return this.value(name, family, boolean);
  }

  /** The value of this element itself. */
  read<T>(type: ValueType<T>): T | undefined {
    return readValue(this.element, type, this.path, this.#report);
  }

  /** Says something about this element. */
  say(name: FindingName, message: string, words?: FindingWords): void {
    this.#report(name, positionOf(this.element), this.path, message, words);
  }

  /** To be called when everything known was asked for: reports every other child. */
  reportOthers(): void {
    for (const child of this.element.children) {
      if (this.#asked.has(child.name)) continue;
      const name = quote(child.qualifiedName).slice(1, -1);
      const near = suggestName(child.name, this.#asked);
      const message = `<${name}> is not known in <${this.element.name}>${near === undefined ? '' : `; did you mean <${near}>?`}`;
      this.#report('eapUnknownElement', positionOf(child), `${this.path}/${name}`, message);
    }
  }

  #checkNamespace(family: NamespaceFamily): void {
    const { uri, name } = this.element;
    const allowed: readonly string[] = namespaces[family];
    if (allowed.includes(uri) || this.#namespacesReported.has(uri)) return;
    this.#namespacesReported.add(uri);
    if (uri.startsWith('https://') && allowed.includes(`http://${uri.slice('https://'.length)}`)) {
      this.say('eapHttpsNamespace', `the namespace of <${name}> is ${quote(uri, 120)}`);
    } else {
      const found = uri === '' ? 'in no namespace' : `in the namespace ${quote(uri, 120)}`;
      const expected = allowed[0]!.slice(provisioning.length);
      this.say('eapWrongNamespace', `<${name}> is ${found}, not in …/${expected}`);
    }
  }
}
