export type * from './data-plane.ts';
