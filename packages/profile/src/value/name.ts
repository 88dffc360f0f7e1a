import type { AppId } from '../profile.ts';
import { quote } from '../quote.ts';
import { trimBlanks } from '../xml/element.ts';
import { withoutInvisible } from './scalar.ts';
import type { ValueType } from './value-type.ts';

/** The name of a name resolution rule: `.suffix`, one name, or `.` for all. */
export const domainName: ValueType<string> = {
  name: 'domain name',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    if (written === '.') return written;
    if (/[\s,;/\\:]/.test(written) || written.includes('..') || written.length > 254) {
      raw.report('notDomain', `${quote(written)} is not one domain name`);
      return undefined;
    }
    if (written.includes('*')) {
      const cure = written.startsWith('*.')
        ? { cure: `Write ${quote(written.slice(1))}: the leading dot means everything below.` }
        : {};
      raw.report('doubtfulDomain', `${quote(written)} has a wildcard`, 0, cure);
    }
    return written;
  },
  write: (value) => value,
};

/** A package family name, a path, or SYSTEM. */
export const appId: ValueType<AppId> = {
  name: 'application id',
  mayBeEmpty: false,
  read: (raw) => {
    const id = withoutInvisible(raw);
    if (id.toUpperCase() === 'SYSTEM') return { id, type: 'System' };
    const type = /[\\/:%]/.test(id) || /\.exe$/i.test(id) ? 'FilePath' : 'PackageFamilyName';
    const wildcard = /[*?]/.test(id);
    const doubtful = type === 'FilePath' ? !/^([A-Za-z]:\\|\\\\|\/|%)/.test(id) : !/^[\w.-]+_[0-9a-z]{13}$/i.test(id);
    if (wildcard || doubtful) {
      raw.report(
        'doubtfulAppId',
        `${quote(id)} is neither a package family name nor a full path${wildcard ? '; it has a wildcard' : ''}`,
      );
    }
    return { id, type };
  },
  write: (value) => value.id,
};

/** `host:port` of a proxy; "http://" in front is removed, as Windows does. */
export const manualProxy: ValueType<string> = {
  name: 'host:port',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    const bare = /^http:\/\//i.test(written) ? written.slice(7) : written;
    const value = bare.endsWith('/') ? bare.slice(0, -1) : bare;
    if (value !== written) raw.report('proxyForm', `${quote(written)} is read as ${quote(value)}`);
    else if (!/:\d{1,5}$/.test(value)) raw.report('proxyForm', `${quote(value)} has no port: 80 is meant`);
    if (value === '' || /[\s/]/.test(value)) {
      raw.report('notServer', `${quote(written)} is not host:port`);
      return undefined;
    }
    return value;
  },
  write: (value) => value,
};

/** One proxy of a name rule. */
export const ruleProxy: ValueType<string> = {
  name: 'host[:port]',
  mayBeEmpty: false,
  read: (raw) => {
    const written = withoutInvisible(raw);
    const separator = written.search(/[,;]/);
    if (separator < 0) return written;
    const first = trimBlanks(written.slice(0, separator));
    raw.report('oneValueOnly', `${quote(written)} is a list; ${quote(first)} counts`, separator);
    if (first === '') {
      raw.report('notServer', `${quote(written)} names no proxy`);
      return undefined;
    }
    return first;
  },
  write: (value) => value,
};
