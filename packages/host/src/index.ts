export { HostError, hostErrors, type HostErrorEntry } from './host-error.ts';
