export type * from './status.ts';
export * from './request.ts';
export type * from './certificate-report.ts';
export * from './prompt.ts';
export type * from './traffic.ts';
export type * from './trace.ts';
export * from './leak-report.ts';
export * from './lockdown.ts';
export type * from './portal.ts';
