export type * from './crypto/port.ts';
export type * from './message/payload.ts';
export type * from './machine/contract.ts';
export * from './registry/transform.ts';
