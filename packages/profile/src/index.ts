export type * from './profile.ts';
export type { Diagnostic, Severity } from './diagnostic.ts';
