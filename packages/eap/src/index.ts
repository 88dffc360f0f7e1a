export type * from './peer-contract.ts';
