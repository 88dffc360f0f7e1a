export type * from './status.ts';
export * from './request.ts';
